-- members: who lives in the box of a recipe, a webapp or a kernel at work, for the list of processes: pids, names, memory; never a command line. Read
-- when it is asked for, so it has bounds: of one box, and of one answer.
local json = require "bind.json"
local members = require "bind.members"

local EACH_MAX, ALL_MAX = 64, 400
-- what runs elsewhere and is not ours to show
local notes = { spark = "the executors of a cluster are not shown: they are not processes of this node" }

local M = {}

--- A function that gives the text of a row with its members, where it has any to show. login: whose request it is, nil = an admin's.
function M.reader(login)
	local left = ALL_MAX
	return function(row, text)
		local is_shown = row.kind ~= "service" and (not row.pool or row.taskId) and row.pid and not row.exitedAt and (not login or row.user == login)
		if not is_shown or left <= 0 then return text end
		local list, total = members.of(row.cgroup or "", row.pid, math.min(left, EACH_MAX))
		left = left - #list
		local more = { members = json.array(list), membersCount = total, note = notes[row.recipeType or ""] }
		return text:sub(1, -2) .. "," .. json.encode(more):sub(2)
	end
end

return M
