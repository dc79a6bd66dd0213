-- load: the files of policies/, in the order of their names, as one set: all or nothing, with every error found.
local files = require "bind.files"
local json = require "bind.json"
local live = require "dss.model.live"
local pools = require "dss.model.pools"
local sandbox = require "dss.model.sandbox"
local Source = require "dss.model.source"

local FOLDER = "policies"
local FILES_MAX = 200

local M = {}

--- The files' names and texts, or nil and errors. What others may write is refused.
local function read_all(dir)
	local folder, errors, out = dir .. "/" .. FOLDER, {}, {}
	local names, why = files.list(folder, ".lua")
	if not names then return nil, { why } end
	local is_safe, unsafe = files.check(folder, dir)
	if not is_safe then return nil, { ("%s: refused: %s"):format(FOLDER, unsafe) } end
	if #names > FILES_MAX then return nil, { ("%s: %d files, more than %d"):format(FOLDER, #names, FILES_MAX) } end
	for _, name in ipairs(names) do
		local shown = FOLDER .. "/" .. name
		local ok, reason = files.check(folder .. "/" .. name, dir)
		local text, trouble = files.read(folder .. "/" .. name)
		if not ok then
			errors[#errors + 1] = ("%s:1: refused: %s"):format(shown, reason)
		elseif not text then
			errors[#errors + 1] = ("%s:1: %s"):format(shown, trouble)
		else
			out[#out + 1] = { name = shown, text = text }
		end
	end
	if #errors > 0 then return nil, errors end
	return out
end

--- Evaluates texts { name, text } into a model, or nil and a list of "policies/NAME:LINE: …".
function M.evaluate(texts, where)
	local errors, model = {}, pools.new(where)
	for _, file in ipairs(texts) do
		local source = Source.new(file.name, file.text, errors)
		local ok, raised = sandbox.run(file.text, "@" .. file.name, sandbox.environment(pools.words(source, model)))
		if not ok then errors[#errors + 1] = raised end
		source:close()
	end
	if #errors > 0 then return nil, errors end
	live.take(model, pools.contradictions)
	return model
end

--- Where policies are to find things: the folder of the Java runtime's jars is near our programs (a build) or in share (installed).
local function surroundings(share, run_user, bin)
	local where = { share = share, run_user = run_user }
	for _, folder in ipairs { bin and bin .. "/java", share .. "/kernels/java" } do
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

--- The last good set, as M.folder wrote it.
function M.last(path, share, run_user, bin)
	local text, why = files.read(path)
	local texts = text
	if text then texts, why = json.decode(text) end
	if not texts then return nil, why end
	local model, errors = M.evaluate(texts, surroundings(share, run_user, bin))
	if not model then return nil, table.concat(errors, "\n") end
	return pools.specs(model), text
end

return M
