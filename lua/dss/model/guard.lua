-- guard: how a function of the user's is called: with a crumb that survives us (core/bind/crumb.h), not at all while it is in quarantine,
-- and left out for a while after it failed some times in a row. Whoever asks a policy's function asks here:
--
--     local ok, v = guard.call(f, p.name, facts)      f: { fn, at = "policies/10-pools.lua:12", path = "warm.min" }
--     ok true: v is the answer; false: it raised v; nil: it was not asked, v says why → the word's default holds
--     if the answer is nonsense: guard.refuse(f)      counts like a failure
local bound = require "bind.guard"
local pcall = pcall

local M = {}

local FAILURES = 5
local REST_MS = 10 * 60 * 1000

local hashes = {}                                       -- "policies/10-pools.lua" → SHA-256 of its text, of the set that is loaded here
local asking = 0                                        -- functions that run now
local states = setmetatable({}, { __mode = "k" })       -- f → what is known of it

--- A file's text is about to be evaluated. nil and why, where the backend before us did not survive that.
function M.file(name, text)
	local hash = bound.hash(text)
	hashes[name] = hash
	if bound.is_quarantined(name, "load", hash) then
		return nil, name .. ":1: refused: the backend ended while it evaluated this text; change the file, or take it away"
	end
	return hash
end

local function state_of(f, word)
	local s = states[f]
	if s then return s end
	local hash = hashes[f.at:match "^(.*):%d+$" or f.at] or ""
	s = { hash = hash, word = word, failures = 0 }
	if bound.is_quarantined(f.at, word, hash) then
		s.why = ("%s: %s is in quarantine: the backend ended while it ran; it is called again once the file has changed"):format(f.at, word)
	end
	states[f] = s
	return s
end

--- Why it is not to be asked now, or nil.
local function resting(s, f, name)
	if s.why then return s.why end
	if s.failures < FAILURES then return nil end
	local now = bound.now_ms()
	if not s.until_ms then
		s.until_ms = now + REST_MS
		s.rests = ("%s: %s of %s failed %d times in a row: %s; it is asked again in 10 min, or once the file has changed"):format(
			f.at, s.word, name, s.failures, s.error)
		bound.rest(f.at, s.word, name, s.hash, s.rests)
	end
	if now < s.until_ms then return s.rests end
	s.until_ms = nil                                     -- one try; it rests again unless it works
	return nil
end

local function finish(s, f, name, ok, ...)
	asking = asking - 1
	bound.leave()
	if not ok then
		if ... == "not enough memory" then bound.full(f.at) end
		local raised = ...
		s.error = type(raised) == "string" and raised:sub(1, 200) or "it raised a " .. type(raised)
		return false, ...
	end
	s.before = s.failures - 1
	s.failures = 0
	if s.rests then
		bound.rest(f.at, s.word, name, s.hash, nil)
		s.rests, s.until_ms = nil, nil
	end
	return true, ...
end

--- name: of the pool or rule, for people. Further arguments are the function's.
function M.call(f, name, ...)
	local s = state_of(f, f.path or f.word or "function")
	local why = resting(s, f, name)
	if why then return nil, why end
	s.failures = s.failures + 1                         -- taken back below; a call whose time is over never comes back here
	s.error = "its time was over"
	bound.enter(f.at, s.word, name, s.hash)
	asking = asking + 1
	return finish(s, f, name, pcall(f.fn, ...))
end

--- Does a function run now? One whose time was over counts until its state goes, which then reads no file any more.
function M.is_asking() return asking > 0 end

--- Whether it is left out: in quarantine, or resting.
function M.is_out(f)
	local s = states[f]
	return s ~= nil and (s.why ~= nil or s.until_ms ~= nil)
end

--- The answer that was just given cannot be used.
function M.refuse(f)
	local s = states[f]
	if s and s.before then s.failures, s.before, s.error = s.before + 1, nil, "its answer made no sense" end
end

function M.enter_file(name, hash) bound.enter(name, "load", "", hash) end
M.leave_file = bound.leave

return M
