-- id: the one grammar of ids, the same as text_is_id of core/base/text.h.
local lpeg = require "lpeg"
local R, S, P = lpeg.R, lpeg.S, lpeg.P

local head = R("az", "AZ", "09") + P "_"
local grammar = head * (head + S ".:()-") ^ -127 * P(-1)

local M = {}

function M.is_id(s) return type(s) == "string" and grammar:match(s) ~= nil and not s:find("..", 1, true) end

return M
