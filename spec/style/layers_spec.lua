-- Who may know whom: docs/architecture.md draws the arrows; every #include of ours and every require is held against them.
local helper = require "spec.helper"

local page = assert(helper.read "docs/architecture.md")

local function lines_of(command)
	local out = {}
	local p = assert(io.popen(command, "r"))
	for line in p:lines() do out[#out + 1] = line end
	p:close()
	return out
end

--- "`a ← b ← (c | d)`" → may[b] = {a}, may[c] = {a, b} …: each knows all that stand before it.
local function read_arrows(text, may)
	for chain in text:gmatch "`([^`\n]*←[^`\n]*)`" do
		local before = {}
		for part in (chain .. "←"):gmatch "%s*(.-)%s*←" do
			local names = {}
			for name in part:gmatch "[%w-]+" do names[#names + 1] = name end
			for _, name in ipairs(names) do
				may[name] = may[name] or {}
				for _, other in ipairs(before) do may[name][other] = true end
			end
			for _, name in ipairs(names) do before[#before + 1] = name end
		end
	end
	-- An arrow may start where another chain ended: `net ← ctl` brings what net knows.
	local grew
	repeat
		grew = false
		for _, knows in pairs(may) do
			local more = {}
			for other in pairs(knows) do
				for far in pairs(may[other] or {}) do more[far] = true end
			end
			for far in pairs(more) do
				if not knows[far] then knows[far], grew = true, true end
			end
		end
	until not grew
	return may
end

local may = read_arrows(page, {})
-- The programs stand above the folder that each is made of.
local programs = { ["dss-keeper"] = "keeper", ["dss-logger"] = "logger", dssctl = "ctl", dssd = "bind" }
for program, folder in pairs(programs) do
	may[program] = may[program] or {}
	may[program][folder] = true
	for other in pairs(may[folder] or {}) do may[program][other] = true end
end

local function folder_of(path) return path:match "^core/([^/]+)/" or path:match "^core/([^/]+)%.[ch]$" end

--- Whether a file of folder `from` may include `header` ("net/http.h").
local function is_allowed(from, header)
	local to = header:match "^([^/]+)/"
	if not to or to == from then return true end
	if header == "keeper/wire.h" then return from ~= "base" and from ~= "sys" end
	if to == "keeper" and programs[from] ~= "keeper" then return false end
	return (may[from] or {})[to] == true
end

local function includes(path, pattern)
	local found, number = {}, 0
	for line in (helper.read(path) .. "\n"):gmatch "([^\n]*)\n" do
		number = number + 1
		local header = line:match(pattern)
		if header then found[#found + 1] = { header = header, at = path .. ":" .. number } end
	end
	return found
end

local sources = lines_of "find core -name '*.[ch]' | sort"

describe("the layers", function()
	it("are drawn in docs/architecture.md for every folder of core/", function()
		for _, folder in ipairs(lines_of "find core -mindepth 1 -maxdepth 1 -type d -printf '%f\n'") do
			assert.truthy(folder == "base" or may[folder], "no arrow for core/" .. folder)
		end
		assert.is_true(may.node.fleet and may.node.gate and may.ctl.base and not may.fleet.gate and not may.gate.fleet)
	end)

	it("have no arrow that is not drawn", function()
		local wrong = {}
		for _, path in ipairs(sources) do
			for _, i in ipairs(includes(path, '^%s*#%s*include%s+"([^"]+)"')) do
				if not is_allowed(folder_of(path), i.header) then wrong[#wrong + 1] = i.at .. " includes " .. i.header end
			end
		end
		assert.equal("", table.concat(wrong, "\n"))
	end)

	it("name our headers by folder, from core/", function()
		local wrong = {}
		for _, path in ipairs(sources) do
			for _, i in ipairs(includes(path, '^%s*#%s*include%s+"([^"]+)"')) do
				if not i.header:find "/" or i.header:find("..", 1, true) then wrong[#wrong + 1] = i.at .. " includes " .. i.header end
			end
		end
		assert.equal("", table.concat(wrong, "\n"))
	end)

	it("keep libev in sys/loop.c, Lua in bind/, SQLite in fleet/ and http-parser in net/", function()
		local owners = {
			["ev.h"] = "^core/sys/loop%.c$", ["lua.h"] = "^core/bind/", ["lauxlib.h"] = "^core/bind/", ["lualib.h"] = "^core/bind/",
			["sqlite3.h"] = "^core/fleet/", ["http_parser.h"] = "^core/net/",
		}
		local wrong = {}
		for _, path in ipairs(sources) do
			for _, i in ipairs(includes(path, '^%s*#%s*include%s+[<"]([^>"]+)[>"]')) do
				local owner = owners[i.header]
				if owner and not path:find(owner) then wrong[#wrong + 1] = i.at .. " includes " .. i.header end
			end
		end
		assert.equal("", table.concat(wrong, "\n"))
	end)

	it("hold for Lua: text, then model, then api, console and test", function()
		local rank = { text = 1, model = 2, api = 3, console = 3, test = 3 }
		assert.truthy(page:find("text/ ← model/ ← api/, console/ and test/", 1, true), "the page draws other arrows now: this spec must follow")
		local wrong = {}
		for _, path in ipairs(lines_of "find lua/dss -name '*.lua' | sort") do
			local from = path:match "^lua/dss/([^/]+)/"
			for _, i in ipairs(includes(path, "require%s*%(?%s*[\"']([%w_.]+)[\"']")) do
				local to = i.header:match "^dss%.([%w_]+)"
				local is_up = from and to and to ~= from and (rank[to] or 0) >= (rank[from] or 9)
				local is_impure = from == "text" and i.header:find "^bind%."
				if is_up or is_impure then wrong[#wrong + 1] = i.at .. " requires " .. i.header end
			end
		end
		assert.equal("", table.concat(wrong, "\n"))
	end)

	it("hold for the web page: lib, stream, state, ui, pages, and the app above them", function()
		local rank = { lib = 1, stream = 2, state = 3, ui = 4, pages = 5 }
		assert.truthy(page:find("lib/ ← stream/ ← state/ ← ui/ ← pages/", 1, true), "the page draws other arrows now: this spec must follow")
		local wrong, seen = {}, 0
		for _, path in ipairs(lines_of "find web/src -name '*.ts' -o -name '*.tsx' | sort") do
			local from = path:match "^web/src/([^/]+)/"
			assert.truthy(not from or rank[from], "no arrow for web/src/" .. tostring(from))
			local folder = path:match "^web/src/(.*)/[^/]*$" or ""
			local text = helper.read(path)
			for _, pattern in ipairs { 'from%s*"(%.[^"]*)"', 'import%s*%(?%s*"(%.[^"]*)"' } do
				for target in text:gmatch(pattern) do
					seen = seen + 1
					local parts = {}
					for part in (folder .. "/" .. target):gmatch "[^/]+" do
						if part == ".." then parts[#parts] = nil elseif part ~= "." then parts[#parts + 1] = part end
					end
					local to = parts[2] and parts[1]
					local is_style = target:find "%.css$" or target:find "%.svg$"
					-- What stands above all folders (app, login, main) is of nobody's business below.
					if from and from ~= to and not is_style and (rank[to] or 9) > rank[from] then wrong[#wrong + 1] = path .. " imports " .. target end
				end
			end
		end
		assert.equal("", table.concat(wrong, "\n"))
		assert.is_true(seen > 50)
	end)

	it("would notice a wrong arrow", function()
		for _, case in ipairs { { "base", "sys/fds.h" }, { "fleet", "gate/server.h" }, { "net", "bind/vm.h" }, { "ctl", "keeper/proc.h" },
			{ "logger", "keeper/plan.h" }, { "sys", "keeper/wire.h" }, { "dssd", "keeper/keeper.h" }, { "ctl", "fleet/fleet.h" } } do
			assert.is_false(is_allowed(case[1], case[2]), table.concat(case, " → "))
		end
		for _, case in ipairs { { "ctl", "keeper/wire.h" }, { "node", "keeper/wire.h" }, { "dss-keeper", "keeper/keeper.h" }, { "dssd", "node/node.h" },
			{ "bind", "gate/server.h" }, { "keeper", "sys/loop.h" } } do
			assert.is_true(is_allowed(case[1], case[2]), table.concat(case, " → "))
		end
	end)
end)
