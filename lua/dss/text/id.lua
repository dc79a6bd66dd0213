-- id: the one grammar of ids, the same as text_is_id of core/base/text.h; and which of them may be a user's login.
local lpeg = require "lpeg"
local R, S, P = lpeg.R, lpeg.S, lpeg.P

local head = R("az", "AZ", "09") + P "_"
local grammar = head * (head + S ".:()-") ^ -127 * P(-1)

local M = {}

function M.is_id(s) return type(s) == "string" and grammar:match(s) ~= nil and not s:find("..", 1, true) end

-- Words that stand in paths, queries and texts in the place of a name; "admin" is one who exists.
local reserved = {}
for word in ("all any everybody nobody none null self me own root system keeper logger backend run abort light payload trigger active new"):gmatch "%S+" do
	reserved[word] = true
end

--- May this be a user? An id without ( ) and :, up to 64, that means nothing else.
function M.is_login(s) return M.is_id(s) and #s <= 64 and not s:find "[:()]" and not reserved[s:lower()] end

return M
