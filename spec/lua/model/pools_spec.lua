require "spec.helper"
require("t_bind").preload()
local load = require "dss.model.load"
local pools = require "dss.model.pools"

local where = { share = "/usr/share/dssd", run_user = "dss-run", java = "/usr/share/dssd/kernels/java" }
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
			recycle_after_tasks = 1, recycle_age_ms = 0, recycle_memory_bytes = 0, ready_within_ms = 60000, grace_ms = 5000, types = { "python", "command" },
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
			{ 'pool "a" { kernel = python {},\n about = function (k) return "x" end }', head .. "2: about: a plain value is wanted here, not a function" },
			{ 'pool "a" { kernel = python {},\n warm = { min = 9, max = 3 } }', head .. "1: warm.min is 9, more than warm.max, 3" },
			{ 'pool "a" { kernel = python {}, warm = { ready_for = "much" } }', head .. '1: warm.ready_for: a chance such as "99%" or 0.99 is wanted, not the text "much"' },
			{ 'pool "a" { kernel = python {}, warm = { ready_for = "100%" } }', head .. "1: warm.ready_for: 100% is not between 50% and 99.99% (0.5 and 0.9999)" },
			{ 'pool "a" { kernel = python {}, warm = { ready_for = 0.49 } }', head .. "1: warm.ready_for: 0.49 is not between 50% and 99.99% (0.5 and 0.9999)" },
			{ 'pool "a" { kernel = python {}, warm = { ready_for = 1.5 } }', head .. "1: warm.ready_for: 1.5 is not between 50% and 99.99% (0.5 and 0.9999)" },
			{ 'pool "a" { kernel = python {}, limits = { memory = "2g", memory_max = "1g" } }', head .. "1: limits.memory_max is 1.0 GB, less than limits.memory, 2.0 GB" },
			{ 'pool "a" { kernel = python {}, limits = { memory_max = "1g" } }', head .. "1: limits.memory_max stands without limits.memory" },
			{ 'pool "a" { kernel = python {}, limits = { memroy = "1g", memory_max = "2g" } }', head .. '1: unknown key "memroy" in limits, did you mean "memory"?' },
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
	it("of Python kernels may name a module of ours, which takes its own tasks and has no mark of future kernels", function()
		local p = assert(specs 'pool "a" { kernel = python { module = "doctor.server", env = { OMP_NUM_THREADS = "4" } }, warm = { min = 0 } }')[1]
		assert.same({ "/usr/bin/python3", "-I", "/usr/share/dssd/kernels/python/kernel", "doctor.server" }, p.argv)
		assert.same({ { "train" }, { "OMP_NUM_THREADS=4" } }, { p.types, p.env })
		assert.is_nil(p.path)
		for text, wanted in pairs {
			['module = "doctor.servre"'] = 'did you mean "doctor.server"',
			['module = "doctor.server", path = { "/x" }'] = "path is for tasks of type python",
		} do
			local got, errors = specs(('pool "a" { kernel = python { %s } }'):format(text))
			assert.is_nil(got)
			assert.truthy(errors:find(wanted, 1, true), errors)
		end
	end)
	it("may be sized by a chance, in per cent or as a number", function()
		for text, wanted in pairs { ['"99%"'] = 0.99, ['"99.9%"'] = 0.999, ["0.95"] = 0.95, ['"50%"'] = 0.5, ["0.9999"] = 0.9999 } do
			local p = assert(specs(('pool "a" { kernel = python {}, warm = { ready_for = %s } }'):format(text)))[1]
			assert.near(wanted, p.ready_for, 1e-12)
		end
		assert.is_nil(assert(specs 'pool "a" { kernel = python {} }')[1].ready_for)
	end)
	it("of Java kernels starts them as kernels/java says, with the heap in whole KB and a UTF-8 locale", function()
		local p = assert(specs [[
pool "jek" {
  kernel = java { heap = "2g", classpath = { "/opt/a.jar", "/opt/b" }, options = { "-XX:TieredStopAtLevel=1" }, env = { A = "1" }, types = { "java", "command" } },
  limits = { memory = "2.5g" },
}]])[1]
		local java = "/usr/share/dssd/kernels/java/"
		assert.same({
			"/usr/bin/java", "-Xmx2097152k", "-Xshare:auto", "-XX:SharedArchiveFile=" .. java .. "dss-kernel.jsa", "-XX:+UseSerialGC", "-XX:+ExitOnOutOfMemoryError",
			"-XX:+DisableAttachMechanism", "-XX:-UsePerfData", "-Dfile.encoding=UTF-8", "-Ddss.kernel=DSSFutureKernelMain", "-XX:TieredStopAtLevel=1",
			"-cp", java .. "dss-kernel.jar:/usr/share/java/gson.jar:/opt/a.jar:/opt/b", "DSSFutureKernelMain",
		}, p.argv)
		assert.same({ "A=1", "LANG=C.UTF-8" }, p.env)
		assert.same({ "java", 2 << 30, { "java", "command" } }, { p.kind, p.heap_bytes, p.types })
		-- one pool's environment is not another's
		assert.same({ "LANG=x" }, specs('pool "a" { kernel = java { heap = "64m", env = { LANG = "x" } } }')[1].env)
		assert.same({ "LANG=C.UTF-8" }, specs('pool "a" { kernel = java { heap = "64m" } }')[1].env)
		assert.same({}, specs('pool "a" { kernel = python {} }')[1].env)
	end)
	it("of Java kernels that is wrong is told with its line", function()
		for _, c in ipairs {
			{ 'pool "a" {\n kernel = java { heap = "2g" },\n limits = { memory = "2.4g" } }', "1: limits.memory is 2.4 GB, less than 1.25 x the heap of 2.0 GB" },
			{ 'pool "a" {\n kernel = java { main = "X" } }', '2: java: "heap" is missing' },
			{ 'pool "a" {\n kernel = java { heap = "64m",\n options = { "-Xmx4g" } } }', "3: java.options[1]: -Xmx4g: heap says that" },
			{ 'pool "a" {\n kernel = java { heap = "64m",\n options = { "-cp", "/x" } } }', "3: java.options[1]: -cp: classpath says that" },
			{ 'pool "a" {\n kernel = java { heap = "64m", options = { "Xss1m" } } }', '2: java.options[1]: "Xss1m" is no option of a JVM' },
			{ 'pool "a" {\n kernel = java { heap = "64m", classpath = { "x.jar" } } }', '2: java.classpath[1]: "x.jar" is no absolute path' },
		} do
			local got, errors = specs(c[1])
			assert.is_nil(got, c[1])
			assert.matches("policies/10-pools.lua:" .. c[2], errors, 1, true)
		end
	end)
	it("of Java kernels is refused where no runtime was built", function()
		local model, errors = load.evaluate({ { name = "policies/10-pools.lua", text = 'pool "a" {\n kernel = java { heap = "64m" } }' } }, { share = "/x" })
		assert.is_nil(model)
		assert.matches("^policies/10%-pools.lua:2: no dss%-kernel.jar is there", errors[1])
	end)
end)
