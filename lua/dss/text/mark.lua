-- mark: the place of a mistake in what somebody wrote, for people: the words around it and a caret below.
local AROUND = 60
local QUOTED_MAX = 80

local M = {}

--- Without what would move a terminal's cursor: each control character, and each byte that is no UTF-8, is one "?".
local function plain(s)
	s = s:gsub("%c", " ")
	local bad
	repeat
		bad = select(2, utf8.len(s))
		if bad then s = s:sub(1, bad - 1) .. "?" .. s:sub(bad + 1) end
	until not bad
	return s
end

--- One line for a message: at most `most` bytes, control characters and broken UTF-8 made harmless.
function M.line(s, most)
	if #s > most then s = s:sub(1, most) .. "..." end
	return plain(s)
end

--- nil, message, at: `text` is no good `what` ("size"). word: what was meant, if that is known; else why at character `at`, or altogether.
function M.refuse(what, text, at, why, word)
	if word then why = ('did you mean "%s"?'):format(word) end
	return nil, ('unable to read %s "%s": %s'):format(what, M.line(text, QUOTED_MAX), at and ("character %d: %s"):format(at, why) or why), at
end

--- Two lines: the text near character `at` (a byte, from 1), and a caret below it.
function M.point(text, at)
	local from = math.max(1, at - AROUND)
	local head, tail = plain(text:sub(from, at - 1)), plain(text:sub(at, at + AROUND))
	if from > 1 then head = "..." .. head end
	return head .. tail .. "\n" .. (" "):rep(utf8.len(head) or #head) .. "^"
end

return M
