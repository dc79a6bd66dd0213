-- load: the files of policies/, in the order of their names, as one set: all or nothing, with every error found.
local files = require "bind.files"
local engine = require "dss.model.engine"
local guard = require "dss.model.guard"
local json = require "bind.json"
local macros = require "dss.model.macros"
local placing = require "dss.model.placing"
local pools = require "dss.model.pools"
local sandbox = require "dss.model.sandbox"
local Source = require "dss.model.source"
local words = require "dss.model.words"

local FOLDER = "policies"
local FILES_MAX = 200
local NAME_MAX = 50        -- Lua cuts the name of a chunk at 60 bytes
local ERRORS_MAX = 200
local TRIES = 3            -- a file that was listed and is gone: an editor that replaces it

local M = {}

--- Why a file's name will not do, or nil: errors are "NAME:LINE: text" on one line.
local function bad_name(name)
	if name:find "[%c%s:\"\\]" or not utf8.len(name) then return "its name may hold no blanks, colons, quotes or control characters" end
	if #name > NAME_MAX then return ("its name is longer than %d bytes"):format(NAME_MAX) end
end

--- One file: { name, text }, or nil, "NAME:1: why", whether it is gone.
local function read_one(folder, name, dir)
	local shown, trouble = FOLDER .. "/" .. name, bad_name(name)
	if trouble then return nil, ("%s/%s:1: refused: %s; rename it"):format(FOLDER, ("%q"):format(name):gsub("\n", "n"), trouble) end
	local ok, reason = files.check(folder .. "/" .. name, dir)
	local text, why = files.read(folder .. "/" .. name)
	if not text then return nil, ("%s:1: %s"):format(shown, why), why:find("No such file", 1, true) ~= nil end
	if not ok then return nil, ("%s:1: refused: %s"):format(shown, reason) end
	return { name = shown, text = text }
end

local function read_once(dir)
	local folder, errors, out, has_gone = dir .. "/" .. FOLDER, {}, {}, false
	local names, why = files.list(folder, ".lua")
	if not names then return nil, { ("%s:1: %s"):format(FOLDER, why) } end
	local is_safe, unsafe = files.check(folder, dir)
	if not is_safe then return nil, { ("%s:1: refused: %s"):format(FOLDER, unsafe) } end
	if #names > FILES_MAX then return nil, { ("%s:1: %d files, more than %d"):format(FOLDER, #names, FILES_MAX) } end
	for _, name in ipairs(names) do
		local file, trouble, is_gone = read_one(folder, name, dir)
		out[#out + 1] = file
		errors[#errors + 1] = trouble
		has_gone = has_gone or is_gone
	end
	return #errors == 0 and out or nil, errors, has_gone
end

--- The files' names and texts, or nil and errors. What others may write is refused.
local function read_all(dir)
	local out, errors, has_gone
	for _ = 1, TRIES do
		out, errors, has_gone = read_once(dir)
		if not has_gone then break end
	end
	return out, errors
end

local function evaluate_one(file, model, errors)
	local hash, why = guard.file(file.name, file.text)
	if not hash then
		errors[#errors + 1] = why
		return
	end
	local source = Source.new(file.name, file.text, errors)
	guard.enter_file(file.name, hash)
	local ok, raised = sandbox.run(file.text, "@" .. file.name, sandbox.environment(words.of(source, model)))
	guard.leave_file()
	if not ok then errors[#errors + 1] = raised end
	source:close()
end

--- The first of too many errors, each on one line.
local function cut(errors)
	local n = #errors
	for i, text in ipairs(errors) do
		errors[i] = text:gsub("\\\n", "\\n"):gsub("%c", function(c) return ("\\%d"):format(c:byte()) end)
	end
	if n <= ERRORS_MAX then return errors end
	local out = table.move(errors, 1, ERRORS_MAX, 1, {})
	out[#out + 1] = ("%s:1: … and %d more"):format(FOLDER, n - ERRORS_MAX)
	return out
end

--- Evaluates texts { name, text } into a model, or nil and a list of "policies/NAME:LINE: …".
function M.evaluate(texts, where)
	local errors, model = {}, words.new(where)
	for _, file in ipairs(texts) do evaluate_one(file, model, errors) end
	if #errors == 0 then
		placing.finish(model)
		macros.finish(model, errors)
	end
	if #errors > 0 then return nil, cut(errors) end
	engine.take(model)
	return model
end

--- Where policies are to find things: the folder of the Java runtime's jars is near our programs (a build) or in share (installed).
local function surroundings(share, run_user, bin)
	local where = { share = share, run_user = run_user }
	for _, folder in ipairs { bin and bin .. "/java", share .. "/java", share .. "/kernels/java" } do -- a build, an installation
		local jars = folder and files.list(folder, ".jar") or {}
		for _, name in ipairs(jars) do
			if name == "dss-kernel.jar" then where.java = where.java or folder end
		end
	end
	return where
end

--- DIR/policies as it stands: specs (a list, see pools.specs) and the set as JSON for db/policies.last; or nil and the errors, one a line.
function M.folder(dir, share, run_user, bin)
	local texts, errors = read_all(dir)
	local model
	if texts then model, errors = M.evaluate(texts, surroundings(share, run_user, bin)) end
	if not model then return nil, table.concat(errors, "\n") end
	return pools.specs(model), json.encode(json.array(texts))
end

--- Texts that were handed in: a JSON list of { name, text }, as M.folder answers it.
function M.texts(text, share, run_user, bin)
	local texts, why = json.decode(text)
	if not texts then return nil, why end
	for i, file in ipairs(texts) do
		local is_file = type(file) == "table" and type(file.name) == "string" and type(file.text) == "string"
		if not is_file then return nil, ("the texts' element %d has no name and text"):format(i) end
		local trouble = bad_name(file.name:gsub("^" .. FOLDER .. "/", ""))
		if trouble then return nil, ("%s:1: refused: %s"):format(FOLDER, trouble) end
	end
	local model, errors = M.evaluate(texts, surroundings(share, run_user, bin))
	if not model then return nil, table.concat(errors, "\n") end
	return pools.specs(model), text
end

--- The last good set, as M.folder answered it. A file of it that ended the backend is left out: there is nothing older to fall back to.
function M.last(text, share, run_user, bin)
	local texts, why = json.decode(text)
	if not texts then return nil, why end
	local kept = {}
	for _, file in ipairs(texts) do
		local is_file = type(file) == "table" and type(file.name) == "string" and type(file.text) == "string"
		if not is_file or guard.file(file.name, file.text) then kept[#kept + 1] = file end
	end
	return M.texts(#kept == #texts and text or json.encode(json.array(kept)), share, run_user, bin)
end

return M
