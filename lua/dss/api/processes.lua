-- processes: what an admin may order of one of them by hand.
local errors = require "dss.api.errors"
local fleet = require "bind.fleet"
local json = require "bind.json"

local M = {}

local ID = "^[%w_.-]+$"

--- A kernel of a pool goes, where nobody misses it.
function M.free(req, id)
	if #id > 200 or not id:match(ID) then return errors.reply(req, 404, ("Process %s does not exist"):format(id)) end
	local ok, why = fleet.free(id, ("%s gave its memory back"):format(req.who.login))
	if not ok then return errors.reply(req, 409, why) end
	req.reply(200, "application/json;charset=utf-8", json.encode { id = id })
end

return M
