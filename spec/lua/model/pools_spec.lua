require "spec.helper"
require("t_bind").preload()
local load = require "dss.model.load"
local pools = require "dss.model.pools"

local where = { share = "/usr/share/dssd", run_user = "dss-run" }
local function specs(text)
	local model, errors = load.evaluate({ { name = "policies/10-pools.lua", text = text } }, where)
	if not model then return nil, table.concat(errors, "\n") end
	return pools.specs(model)
end

describe("a pool", function()
	it("of Python kernels has every default", function()
		assert.same({ {
			name = "fek", source = "policies/10-pools.lua:1", kind = "python", run_as = "dss-run", env = {}, heap_bytes = 0,
			argv = { "/usr/bin/python3", "-I", "/usr/share/dssd/kernels/python/kernel", "DSSFutureKernelMain" }, path = { "/usr/share/dssd/kernels/python/tasks" },
			memory_bytes = 0, memory_max_bytes = 0, swap_bytes = 0, threads = 4096, warm_min = 1, warm_max = 8, max = 16,
			recycle_after_tasks = 1, recycle_age_ms = 0, recycle_memory_bytes = 0, ready_within_ms = 60000, grace_ms = 5000,
		} }, specs 'pool "fek" { kernel = python {} }')
	end)
	it("takes limits, warm stock and recycling with units", function()
		local p = assert(specs [[
pool "fek" {
  about = "x", kernel = command { "/opt/k", "-v", env = { A = "1" }, types = { "python", "command" } },
  limits = { memory = "1g", memory_max = "2g", swap = "1m", threads = 10 }, warm = { min = 2, max = 4 }, max = 8,
  recycle = { after_tasks = 50, age = "8h", memory = "800m" }, ready_within = "5s", grace = "1s", run_as = "other",
}]])[1]
		assert.same({ "/opt/k", "-v" }, p.argv)
		assert.same({ "A=1" }, p.env)
		assert.same({ "python", "command" }, p.types)
		assert.same({ 1 << 30, 2 << 30, 1 << 20, 10, 2, 4, 8, 50, 28800000, 800 << 20, 5000, 1000, "other" }, {
			p.memory_bytes, p.memory_max_bytes, p.swap_bytes, p.threads, p.warm_min, p.warm_max, p.max, p.recycle_after_tasks, p.recycle_age_ms,
			p.recycle_memory_bytes, p.ready_within_ms, p.grace_ms, p.run_as })
	end)
	it("that is wrong is told with file and line", function()
		local head = "policies/10-pools.lua:"
		local cases = {
			{ 'pool "a" { }', head .. '1: "kernel" is missing' },
			{ 'pool "a" {\n kernel = "python" }', head .. "2: kernel: python { … }, java { … } or command { … } is wanted, not the text \"python\"" },
			{ 'pool "a" { kernel = { tag = "kernel" } }', head .. "1: kernel: python { … }, java { … } or command { … } is wanted, not a table" },
			{ 'pool "a" {\n kernel = python {\n  bni = "/x" } }', head .. '3: unknown key "bni" in python, did you mean "bin"?' },
			{ 'pool "a" { kernel = python {}, max = function (k) return 1 end }', head .. "1: max: functions as values come with the policy engine; write a plain value" },
			{ 'pool "a" { kernel = python {},\n warm = { min = 9, max = 3 } }', head .. "1: warm.min is 9, more than warm.max, 3" },
			{ 'pool "a" { kernel = python {}, warm = { ready_for = "99%" } }', head .. "1: warm.ready_for: sizing by measured demand is not built yet; set min and max" },
			{ 'pool "a" { kernel = python {}, limits = { memory = "2g", memory_max = "1g" } }', head .. "1: limits.memory_max is less than limits.memory, or limits.memory is missing" },
			{ 'pool "a b" { kernel = python {} }', head .. '1: "a b" is no name for a pool: up to 32 letters, digits and _.-' },
			{ 'pool "a"', head .. '1: pool "a" has no table: write pool "a" { … }' },
			{ 'pool { }', head .. '1: pool wants a name and a table: pool "name" { … }' },
			{ 'pool "a" { kernel = command { "x" } }', head .. '1: command.argv: the program "x" is no absolute path' },
			{ 'pol "a" { }', head .. '1: unknown word "pol", did you mean "pool"?' },
		}
		for _, c in ipairs(cases) do
			local got, errors = specs(c[1])
			assert.is_nil(got, c[1])
			assert.equal(c[2], errors:match "^[^\n]+")
		end
	end)
	it("of Java kernels is read, and refused as not built yet", function()
		local _, errors = specs 'pool "a" {\n kernel = java { main = "DSSFutureKernelMain", heap = "2g" }, limits = { memory = "3g" } }'
		assert.matches("^policies/10%-pools.lua:2: java kernels are not built yet; use python { … } or command { … }", errors)
	end)
end)
