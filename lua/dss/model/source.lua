-- source: one file of the user's while it is evaluated: its name and text, where its code stands now, and the errors found so far.
local guard = require "dss.model.guard"
local place = require "dss.model.place"
local getinfo = debug.getinfo

local Source = {}
Source.__index = Source

local LEVELS_MAX = 50
local NAME_MAX = 100

--- name: as shown to people ("policies/10-pools.lua"); errors: a list that report appends to.
local function new(name, text, errors) return setmetatable({ name = name, text = text, errors = errors, open = {}, marks = {} }, Source) end

--- The line of this file that is running now; 1 where a tail call has hidden it.
function Source:line()
	for level = 2, LEVELS_MAX do
		local info = getinfo(level, "Sl")
		if not info then return 1 end
		if info.source == "@" .. self.name then return info.currentline end
	end
	return 1
end

function Source:at(line) return ("%s:%d"):format(self.name, line) end

function Source:report(line, text) table.insert(self.errors, ("%s: %s"):format(self:at(line), text)) end

--- Lines of the keys of the table that a word at `line` was given.
function Source:lines(line) return place.lines(self.text, line, self.marks) end

--- Words are heard while their file is read: one that a function of the file says later would change a set that was checked as a whole.
function Source:want_open(word)
	if self.is_closed or guard.is_asking() then error(("%s stands in a file, not in a function that is asked"):format(word), 3) end
end

--- A word with a name and a table: pool "fek" { … }. `fn(name, table, line)` is called once both are there; a name alone is an error at
-- the end of the file (Source:close).
function Source:named(word, fn)
	return function(name)
		local line = self:line()
		self:want_open(word)
		if type(name) ~= "string" then
			self:report(line, ('%s wants a name and a table: %s "name" { … }'):format(word, word))
			return function() end
		end
		local waiting = { line = line, text = ('%s "%s" has no table: write %s "%s" { … }'):format(word, name, word, name) }
		self.open[#self.open + 1] = waiting
		return function(t)
			self:want_open(word)
			waiting.text = nil
			if type(t) ~= "table" then
				self:report(line, ('%s "%s" wants a table, not a %s'):format(word, name, type(t)))
				return
			end
			fn(name, t, line)
		end
	end
end

--- Is that a name for a word, and its first use? Reports what is wrong. Names are for people: one line of text.
function Source:is_name(word, name, line, model)
	if name == "" or #name > NAME_MAX or name:find "%c" or not utf8.len(name) then
		self:report(line, ("%s: a name is one line of up to %d bytes"):format(word, NAME_MAX))
		return false
	end
	local key = word .. " " .. name
	if model.first[key] then
		self:report(line, ('%s "%s" stands twice, first at %s'):format(word, name, model.first[key]))
		return false
	end
	model.first[key] = self:at(line)
	return true
end

--- A word with a table alone, at most once a model: node { … }.
function Source:single(word, model, fn)
	return function(t)
		local line = self:line()
		self:want_open(word)
		if type(t) ~= "table" then return self:report(line, ("%s wants a table: %s { … }"):format(word, word)) end
		if model.first[word] then return self:report(line, ("%s stands twice, first at %s"):format(word, model.first[word])) end
		model.first[word] = self:at(line)
		fn(t, line)
	end
end

function Source:close()
	self.is_closed = true
	for _, waiting in ipairs(self.open) do
		if waiting.text then self:report(waiting.line, waiting.text) end
	end
end

return { new = new }
