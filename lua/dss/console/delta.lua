-- delta: what was changed at prompts since the backend's start, as text for a file of policies/: each changed pool as its file has it, with the
-- numbers of now in their places; what no policy can say (a kernel that was stopped) as comments.
local change = require "bind.change"
local json = require "bind.json"
local policies = require "bind.policies"
local show = require "dss.console.show"

local M = {}

-- --- enough of Lua's grammar to find a key of a table ---

local openers = { ["function"] = true, ["do"] = true, ["if"] = true, ["repeat"] = true, ["{"] = true, ["("] = true, ["["] = true }
local closers = { ["end"] = true, ["until"] = true, ["}"] = true, [")"] = true, ["]"] = true }

--- The token at `at`, skipping blanks and comments: kind ("name" "text" "number" or the character), first, last; nil at the end.
local function token(s, at)
	while true do
		at = s:find("%S", at)
		if not at then return nil end
		local level = s:match("^%-%-%[(=*)%[", at)
		if level then
			at = (select(2, s:find("]" .. level .. "]", at, true)) or #s) + 1
		elseif s:find("^%-%-", at) then
			at = s:find("\n", at, true) or #s + 1
		else
			break
		end
	end
	local level = s:match("^%[(=*)%[", at)
	if level then return "text", at, select(2, s:find("]" .. level .. "]", at, true)) or #s end
	local quote = s:match("^[\"']", at)
	if quote then
		local last = at + 1
		while last <= #s and s:sub(last, last) ~= quote do last = last + (s:sub(last, last) == "\\" and 2 or 1) end
		return "text", at, last
	end
	local _, last = s:find("^[%a_][%w_]*", at)
	if last then
		local word = s:sub(at, last)
		return (openers[word] or closers[word]) and word or "name", at, last
	end
	_, last = s:find("^%d[%w.]*", at)
	if last then return "number", at, last end
	return s:sub(at, at), at, at
end

--- The end of what opens at `at` (a brace); nil: it does not end.
local function closing(s, at)
	local depth = 0
	while true do
		local kind, first, last = token(s, at)
		if not kind then return nil end
		if openers[kind] then depth = depth + 1 elseif closers[kind] then depth = depth - 1 end
		if depth == 0 then return first end
		at = last + 1
	end
end

--- First and last byte of the value of `key` in the table literal whose brace opens at `open`; nil: it has none.
local function find_value(s, open, key)
	local at, depth, is_start = open + 1, 0, true
	while true do
		local kind, first, last = token(s, at)
		if not kind then return nil end
		if depth == 0 and kind == "}" then return nil end
		if is_start and kind == "name" and s:sub(first, last) == key then
			local eq, eq_at = token(s, last + 1)
			if eq == "=" then
				local from, till, stop
				at = eq_at + 1
				repeat
					kind, first, last = token(s, at)
					if not kind then return nil end
					stop = depth == 0 and (kind == "," or kind == ";" or kind == "}")
					if not stop then
						if openers[kind] then depth = depth + 1 elseif closers[kind] then depth = depth - 1 end
						from, till, at = from or first, last, last + 1
					end
				until stop
				return from, till
			end
		end
		if openers[kind] then depth = depth + 1 elseif closers[kind] then depth = depth - 1 end
		is_start = depth == 0 and (kind == "," or kind == ";")
		at = last + 1
	end
end

--- The text with a value in the place of the key's, or put behind the brace where it has none; nil: what stands there is no plain value.
local function with_value(s, open, key, text)
	local from, till = find_value(s, open, key)
	if from then return s:sub(1, from - 1) .. text .. s:sub(till + 1) end
	local rest = token(s, open + 1)
	return s:sub(1, open) .. (" %s = %s%s"):format(key, text, rest == "}" and " " or ",") .. s:sub(open + 1)
end

--- path: "max" or "warm.min".
local function with_path(s, open, path, text)
	local outer, inner = path:match "^(.-)%.(.*)$"
	if not outer then return with_value(s, open, path, text) end
	local from, till = find_value(s, open, outer)
	if not from then return with_value(s, open, outer, ("{ %s = %s }"):format(inner, text)) end
	if s:sub(from, from) ~= "{" or closing(s, from) ~= till then return nil end
	return with_value(s, from, inner, text)
end

--- The block `pool "NAME" { … }` that begins in that line of a file, and where its brace opens; nil: it is not written so there.
local function block_of(text, line, name)
	local at = 1
	for _ = 2, line do
		at = text:find("\n", at, true)
		if not at then return nil end
		at = at + 1
	end
	while true do
		local kind, first, last = token(text, at)
		if not kind then return nil end
		if kind == "name" and text:sub(first, last) == "pool" then
			local arg, arg_at, arg_last = token(text, last + 1)
			if arg == "(" then arg, arg_at, arg_last = token(text, arg_last + 1) end
			local after, after_at, after_last = token(text, (arg_last or #text) + 1)
			if after == ")" then after, after_at = token(text, after_last + 1) end
			if arg == "text" and text:sub(arg_at + 1, arg_last - 1) == name and after == "{" then
				local close = closing(text, after_at)
				return close and text:sub(first, close), after_at - first + 1
			end
		end
		if text:find("\n", at, true) and first > text:find("\n", at, true) then return nil end
		at = last + 1
	end
end

-- --- what was changed ---

local function number_text(path, n)
	if path ~= "limits.memory" then return ("%d"):format(n) end
	for _, u in ipairs { { 1 << 40, "t" }, { 1 << 30, "g" }, { 1 << 20, "m" }, { 1 << 10, "k" } } do
		if n > 0 and n % u[1] == 0 then return ('"%d%s"'):format(n // u[1], u[2]) end
	end
	return ("%d"):format(n)
end

local function keys_of(t)
	local out = {}
	for k in pairs(t) do out[#out + 1] = k end
	table.sort(out)
	return out
end

--- The numbers of a pool before the first and after the last change.
local function fold(list)
	local pools, order = {}, {}
	for _, c in ipairs(list) do
		local name = c.what == "set" and c.subject:match "^pool (.*)$"
		if name then
			local p = pools[name]
			if not p then
				p = { name = name, before = {}, after = {} }
				pools[name] = p
				order[#order + 1] = p
			end
			local before, after = json.decode(c.before), json.decode(c.after)
			for _, path in ipairs(keys_of(after)) do
				if p.before[path] == nil then p.before[path] = before[path] end
				p.after[path] = after[path]
			end
			p.who, p.at_ms, p.version = c.who, c.at_ms, c.version
		end
	end
	return order
end

local function time(ms) return os.date("%Y-%m-%d %H:%M:%S", ms // 1000) end

local function source_of(name, rows)
	for _, row in ipairs(rows) do
		if row.name == name then return row.source end
	end
end

local function put_pool(out, p, now, files, rows)
	local was, paths = {}, {}
	for _, path in ipairs(keys_of(p.after)) do
		if p.after[path] ~= p.before[path] then
			was[#was + 1] = ("%s was %s"):format(path, number_text(path, p.before[path]))
			paths[#paths + 1] = path
		end
	end
	if #was == 0 then return end
	local source = source_of(p.name, rows)
	local file, line = (source or ""):match "^(.*):(%d+)$"
	out[#out + 1] = ('-- pool "%s"%s: %s; by %s, %s'):format(p.name, source and " (" .. source .. ")" or "", table.concat(was, ", "),
		show.plain(p.who), time(p.at_ms))
	if now.version ~= p.version then out[#out + 1] = "-- not in force any more: policies were loaded since" end
	local text, open
	if file and files[file] then text, open = block_of(files[file], tonumber(line), p.name) end
	for _, path in ipairs(paths) do text = text and with_path(text, open, path, number_text(path, p.after[path])) end
	if text then
		out[#out + 1] = text
		return
	end
	out[#out + 1] = "-- its table is not written out there; say in it:"
	for _, path in ipairs(paths) do out[#out + 1] = ("--   %s = %s"):format(path, number_text(path, p.after[path])) end
end

--- rows: of the pools that there are.
function M.of(list, forgotten, now, rows)
	local out, files = {}, {}
	for _, file in ipairs(json.decode(now.text)) do files[file.name] = file.text end
	if forgotten > 0 then out[#out + 1] = ("-- %d older changes are not kept"):format(forgotten) end
	for _, c in ipairs(list) do
		if c.what ~= "set" then
			local why = json.decode(c.after)
			why = type(why) == "table" and type(why.why) == "string" and ": " .. show.plain(why.why) or ""
			out[#out + 1] = ("-- %s %s%s; by %s, %s"):format(c.what, show.plain(c.subject), why, show.plain(c.who), time(c.at_ms))
		end
	end
	for _, p in ipairs(fold(list)) do put_pool(out, p, now, files, rows) end
	if #out == 0 then return "-- nothing was changed since the backend's start" end
	return table.concat(out, "\n")
end

function M.text()
	local live = require "dss.console.live"
	local list, forgotten = change.changes()
	return M.of(list, forgotten, policies.current(), live.rows "pool")
end

return M
