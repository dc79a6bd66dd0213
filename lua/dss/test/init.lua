-- test: the vocabulary of users' specs of their policies: docs/policy-testing.md.
--
--     local policy = require "dss.test"
--     local set = policy.load()
--     assert.equal("retire", (set:judge("idle and large", { state = "idle", idle = "10min", memory = "900m", limit = "1g" })))
local files = require "bind.files"
local given = require "dss.test.given"
local json = require "bind.json"
local machine = require "bind.machine"
local Set = require "dss.test.set"
local sets = require "bind.sets"
local size = require "dss.text.size"

local M = { unknown = given.unknown, clock = given.clock }

-- the folder of the policies that are tried; run.lua sets it
M.folder = nil

local SHOWN = "policies/" -- as in an instance, whatever the folder is called

local function read_folder(folder)
	local texts = {}
	for _, name in ipairs(files.list(folder, ".lua") or given.fail("unable to list %s", folder)) do
		if not name:find "_spec%.lua$" then
			local text, why = files.read(folder .. "/" .. name)
			texts[#texts + 1] = { name = SHOWN .. name, text = text or given.fail(why) }
		end
	end
	if #texts == 0 then given.fail("%s has no policies: files named *.lua", folder) end
	return texts
end

local function read_texts(t)
	local texts = {}
	for name, text in pairs(t) do
		if name ~= "machine" then
			if type(name) ~= "string" or not name:find "%.lua$" then given.fail('%s is no name of a file: policy.load { ["x.lua"] = [[ … ]] }', tostring(name)) end
			if type(text) ~= "string" then given.fail("%s: a text is wanted, not a %s", name, type(text)) end
			texts[#texts + 1] = { name = SHOWN .. name, text = text }
		end
	end
	table.sort(texts, function(a, b) return a.name < b.name end)
	return texts
end

local function read_machine(t)
	if t == nil then return {} end
	if type(t) ~= "table" then given.fail 'a machine is { cores = 2, total = "8g" }' end
	for k in pairs(t) do
		if k ~= "cores" and k ~= "total" then given.refuse("fact of a machine", k, { "cores", "total" }) end
	end
	local total, why
	if t.total then
		total, why = size.parse(t.total)
		if not total then given.fail("total: %s", why) end
	end
	if t.cores ~= nil and math.type(t.cores) ~= "integer" then given.fail "cores: a whole number is wanted" end
	return { cores = t.cores, total = total }
end

--- The folder's files as one set; policy.load { ["x.lua"] = [[ … ]] }: those texts alone. With machine = { cores = 2, total = "8g" } as that
-- machine would load them. Raises what is wrong with them, each with file and line.
function M.load(t)
	if t ~= nil and type(t) ~= "table" then given.fail("policy.load wants nothing or a table, not a %s", type(t)) end
	local other, texts = read_machine(t and t.machine), read_texts(t or {})
	if #texts == 0 then texts = read_folder(M.folder) end
	local bound, errors = sets.load(json.encode(json.array(texts)), other.cores or 0, other.total or 0)
	if not bound then error(errors, 0) end
	return Set.new(bound, { cores = other.cores or machine.cores, total = other.total or machine.total })
end

return M
