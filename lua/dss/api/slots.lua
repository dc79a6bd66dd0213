-- slots: how many tasks may be at work at once for a user, a project or a tag, and how many are.
local fleet = require "bind.fleet"
local json = require "bind.json"

local M = {}

--- Each rule is everybody's to see; of its keys only one's own, and the one that stands for all. Admins see all.
function M.list(req)
	local rows = json.decode(fleet.slots())
	for _, rule in ipairs(rows) do
		local keys = {}
		for _, k in ipairs(rule.keys) do
			local is_own = k.key == "" or (rule.each == "user" and k.key == req.who.login)
			if req.who.is_admin or is_own then keys[#keys + 1] = k end
		end
		rule.keys = json.array(keys)
	end
	req.reply(200, "application/json;charset=utf-8", json.encode(json.array(rows)))
end

return M
