-- session: one prompt: a line in, its output out. Its world is the sandbox of policies with the words of the console; names that are set stay.
local change = require "bind.change"
local complete = require "dss.console.complete"
local delta = require "dss.console.delta"
local guard = require "bind.guard"
local help = require "dss.console.help"
local live = require "dss.console.live"
local nearest = require "dss.text.nearest"
local sandbox = require "dss.model.sandbox"
local show = require "dss.console.show"
local words = require "dss.console.words"

local OUTPUT_MAX = (256 << 10) - 200
local CHUNK = "@console"

local M = {}

-- --- output ---

local printed, printed_bytes

--- Keeps what fits.
local function put(text)
	if printed_bytes > OUTPUT_MAX then return end
	if printed_bytes + #text > OUTPUT_MAX then
		local cut = OUTPUT_MAX - printed_bytes
		while cut > 0 and (text:byte(cut + 1) or 0) & 0xC0 == 0x80 do cut = cut - 1 end
		text = text:sub(1, cut) .. "\n… cut: a line may print 256 KB"
		printed_bytes = OUTPUT_MAX
	end
	printed[#printed + 1] = text
	printed_bytes = printed_bytes + #text + 1
end

--- print (…): prints texts as they are, other values as the prompt would
function words.words.print(...)
	local out = {}
	for i = 1, select("#", ...) do
		local v = select(i, ...)
		out[i] = type(v) == "string" and v or show.value(v)
	end
	put(table.concat(out, "\t"))
end

-- --- commands ---

local commands = {}
words.commands = commands

--- :write: lets this session change things; each change is logged with who and when
function commands.write()
	change.writing(true)
	return ("this session may change things now, as %s; :read ends that"):format(change.who())
end

--- :read: read-only again
function commands.read()
	change.writing(false)
	return "read-only"
end

--- :delta: what was changed at prompts since the backend's start, as text for a file of policies/
function commands.delta() return delta.text() end

--- :help [WORD]: help on all words, or on one
function commands.help(word) return show.value(words.words.help(word)) end

--- :quit: ends the session
function commands.quit() return "", true end

local function command(line)
	local name, rest = line:match "^:%s*(%a*)%s*(.-)%s*$"
	local fn = commands[name]
	if fn then
		local out, is_over = fn(rest ~= "" and rest or nil)
		return out, false, false, is_over
	end
	local names = {}
	for _, h in ipairs(help.all(commands)) do names[#names + 1] = h.name end
	local guess = nearest(name, names)
	return ('unknown command ":%s"%s'):format(show.plain(name), guess and (', did you mean ":%s"?'):format(guess)
		or "; there are :" .. table.concat(names, " :")), true
end

-- --- Lua ---

local closed = sandbox.environment(words.words)
local env = setmetatable({}, { __index = closed, __metatable = false })

--- A function, or nil, why, whether the text only breaks off.
local function breaks_off(why) return why:find "near '?<eof>'?$" ~= nil end

local function compile(text)
	local chunk, as_expression = guard.compile("return " .. text, CHUNK, env)
	if chunk then return chunk end
	local why
	chunk, why = guard.compile(text, CHUNK, env)
	return chunk, why, why and (breaks_off(why) or breaks_off(as_expression))
end

local function in_words(raised, text)
	if type(raised) == "table" and show.hint(raised) == nil then raised = "raised " .. show.value(raised) end
	if type(raised) ~= "string" then raised = "raised a " .. type(raised) end
	raised = raised:gsub("^/[^:]*/lua/dss/[^:]*:%d+: ", "")  -- where in our own code is nobody's business
	if not text:find "\n" then raised = raised:gsub("^console:%d+: ", "") end
	raised = raised:gsub("stack overflow %(message.*", "stack overflow: a function calls itself without end")
	return raised
end

--- A function of ours that was named and not called: its help.
local function shown(v)
	if type(v) == "function" then
		for _, word in pairs(words.words) do
			if word == v then local usage, text = help.of(v)
				return usage and ("%s: %s"):format(usage, text) or "function"
			end
		end
	end
	return show.value(v)
end

local function finish(text, ok, ...)
	if not ok then
		if ... == "not enough memory" then error(..., 0) end -- told, and looked after, by who called us
		put(in_words(..., text))
		return table.concat(printed, "\n"), true
	end
	local n = select("#", ...)
	for i = 1, n do put(shown((select(i, ...)))) end
	return table.concat(printed, "\n"), false
end

--- Output, is_error, is_incomplete, is_over.
function M.line(text)
	printed, printed_bytes = {}, 0
	live.look_anew()
	if not utf8.len(text) then return "this is no UTF-8", true end
	if text:find "^%s*$" then return "", false end
	if text:find "^%s*:%s*%a" and not text:find "\n" then return command(text:match "^%s*(.*)$") end
	local chunk, why, is_incomplete = compile(text)
	if is_incomplete then return "", false, true end
	if not chunk then return in_words(why, text), true end
	return finish(text, pcall(chunk))
end

--- Where the word under the cursor (bytes from 0) begins, and what it may be, one a line.
function M.complete(text, cursor)
	live.look_anew()
	local from, list = complete.of(text:sub(1, cursor), env, closed, commands)
	return from, table.concat(list, "\n")
end

return M
