-- run: finds the specs of a folder of policies and hands them to busted.
local files = require "bind.files"

local DONE, FAILED, USAGE = 0, 1, 2

local function complain(code, text, ...)
	io.stdout:flush()
	io.stderr:write("dssd: ", text:format(...), "\n")
	return code
end

--- The specs of a folder within dir, as paths from there; none where it is not there.
local function specs_of(dir, folder)
	local out = {}
	for _, name in ipairs(files.list(dir .. "/" .. folder, "_spec.lua") or {}) do out[#out + 1] = folder .. name end
	return out
end

local function has_policies(folder)
	for _, name in ipairs(files.list(folder, ".lua") or {}) do
		if not name:find "_spec%.lua$" then return true end
	end
	return false
end

--- Where policies and specs are: DIR/policies where DIR is an instance's; DIR; or, where DIR is the folder of the specs, the one above.
local function find(dir)
	if files.list(dir .. "/policies", ".lua") then dir = dir .. "/policies" end
	local above = dir:match "^(.*)/spec$"
	if above and not has_policies(dir) then dir = above end
	local specs, beside = specs_of(dir, "spec/"), specs_of(dir, "")
	table.move(beside, 1, #beside, #specs + 1, specs)
	return dir, specs
end

--- Specs run unconfined, as whoever calls: what somebody else may write would be theirs to run. Why not, or nil.
local function refused(folder, specs)
	local paths = { folder }
	if files.list(folder .. "/spec", ".lua") then paths[2] = folder .. "/spec" end
	for _, name in ipairs(specs) do paths[#paths + 1] = folder .. "/" .. name end
	for _, path in ipairs(paths) do
		local ok, why = files.check(path, "/")           -- "/": root's or ours
		if not ok then return path, (why:gsub("the instance's owner", "yours: run it as who owns it")) end
	end
end

--- Exit code; where a spec fails busted ends the program itself, with 1. options: busted's.
return function(dir, options)
	local folder, specs = find(dir)
	if #specs == 0 then return complain(USAGE, "there are no specs in %s/spec: files named *_spec.lua, see docs/policy-testing.md", folder) end
	local path, why = refused(folder, specs)
	if path then return complain(FAILED, "%s: refused: %s (specs run with all your rights)", path, why) end
	if not package.searchpath("busted.runner", package.path) then
		return complain(FAILED, "unable to run specs: busted is not installed; apt-get install lua-busted")
	end
	require("dss.test").folder = folder
	package.path = ("%s/spec/?.lua;%s"):format(folder, package.path)
	_G.arg = { [0] = "dssctl policy test", "-C", folder, table.unpack(options) }
	table.move(specs, 1, #specs, #_G.arg + 1, _G.arg)
	require "busted.runner" { standalone = false }
	return DONE
end
