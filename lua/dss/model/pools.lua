-- pools: pool "NAME" { … } and the kernels it runs: python { … }, java { … }, command { … }. Where a number stands, a function may (live.lua).
local live = require "dss.model.live"
local machine = require "bind.machine"
local S = require "dss.model.schema"
local id = require "dss.text.id"
local size = require "dss.text.size"
local sorted_keys = S.sorted_keys

local M = {}

-- The command line says what it is: people and tools look for it.
local MARK = "DSSFutureKernelMain"
local JOB_MARK = "DSSJobKernelMain"
-- What a Python kernel can be instead of one of the usual tasks: a module of kernels/python, and the types it takes.
local MODULES = { ["doctor.server"] = { "train" } }
-- A heap is not all of a JVM: threads, code and buffers come on top, or the kernel's limit ends it before its own does.
local HEAP_ROOM = 1.25

local function absolute(wanted) return S.text { default = wanted, check = function(v)
	if v:sub(1, 1) ~= "/" then return nil, ("%q is no absolute path"):format(v) end
	return v
end } end
local function environment() return S.map { of = S.text { may_be_empty = true }, default = {} } end

local function or_function(spec)
	spec.live = true
	return spec
end

-- Marks what our own words have made. The user's file gets an empty table: what was checked cannot be changed afterwards.
local Kernel = { __newindex = function() error("a kernel is read-only", 2) end }
local held = setmetatable({}, { __mode = "k" })

local shapes = {
	python = S.record {
		bin = absolute "/usr/bin/python3",
		path = S.list { of = absolute() },
		module = S.choice { words = S.sorted_keys(MODULES) },
		env = environment(),
		types = S.list { of = S.id {}, least = 1 },
	},
	java = S.record {
		main = S.text { default = MARK },
		heap = S.size { least = 8 << 20, required = true },
		bin = absolute "/usr/bin/java",
		classpath = S.list { of = absolute(), default = {} },
		options = S.list { default = {}, of = S.text { check = function(v)
			if v:sub(1, 1) ~= "-" then return nil, ("%q is no option of a JVM: they begin with -"):format(v) end
			if v:find "^%-Xmx" or v:find "^%-XX:MaxHeapSize" then return nil, ("%s: heap says that"):format(v) end
			if v == "-cp" or v:find "^%-%-?class%-?path" or v == "-jar" then return nil, ("%s: classpath says that"):format(v) end
			return v
		end } },
		env = environment(),
		types = S.list { of = S.id {}, least = 1 },
	},
	command = S.record {
		argv = S.list { of = S.text { may_be_empty = true }, least = 1, required = true, check = function(v)
			if v[1] and v[1]:sub(1, 1) ~= "/" then return nil, ("the program %q is no absolute path"):format(v[1]) end
			return v
		end },
		env = environment(),
		types = S.list { of = S.id {}, least = 1 },
	},
	pool = S.record {
		about = S.text { may_be_empty = true },
		kernel = S.tagged { tag = Kernel, required = true, wanted = "python { … }, java { … } or command { … }",
			check = function(handle) return held[handle] end },
		limits = S.record {
			memory = S.size { least = 16 << 20, live = true },
			memory_max = S.size { least = 16 << 20 },
			swap = S.size { default = 0 },
			threads = S.int { least = 1, default = 4096 },
		},
		warm = S.record {
			min = S.int { most = 10000, default = 1, live = true },
			max = S.int { most = 10000, default = 8, live = true },
			ready_for = S.chance {},
		},
		max = S.int { least = 1, most = 100000, default = 16, live = true },
		recycle = or_function(S.record { after_tasks = S.int { default = 1 }, age = S.duration { least = 1 }, memory = S.size { least = 1 << 20 } }),
		run_as = S.text {},
		ready_within = S.duration { least = 1, default = 60000 },
		grace = S.duration { default = 5000 },
	},
}

local function environment_list(env)
	local list = {}
	for _, name in ipairs(sorted_keys(env)) do list[#list + 1] = name .. "=" .. env[name] end
	return list
end

local kinds = {}

function kinds.python(k, where)
	local runtime = where.share .. "/kernels/python"
	if k.module then
		if k.path then return nil, ("path is for tasks of type python; %s takes %s"):format(k.module, table.concat(MODULES[k.module], ", ")) end
		return { argv = { k.bin, "-I", runtime .. "/kernel", k.module }, types = MODULES[k.module] }
	end
	return { argv = { k.bin, "-I", runtime .. "/kernel", MARK }, path = k.path or { runtime .. "/tasks" }, types = { "python", "command" } }
end

function kinds.command(k) return { argv = k.argv } end

--- As kernels/java/README.md says.
function kinds.java(k, where)
	local folder = where.java
	if not folder then return nil, "no dss-kernel.jar is there: `make` builds kernels/java where a JDK is installed" end
	local argv = {
		k.bin, ("-Xmx%dk"):format(k.heap // 1024), "-Xshare:auto", "-XX:SharedArchiveFile=" .. folder .. "/dss-kernel.jsa", "-XX:+UseSerialGC",
		"-XX:+ExitOnOutOfMemoryError", "-XX:+DisableAttachMechanism", "-XX:-UsePerfData", "-Dfile.encoding=UTF-8",
		"-Ddss.kernel=" .. (k.main == JOB_MARK and JOB_MARK or MARK),
	}
	for _, word in ipairs(k.options) do argv[#argv + 1] = word end
	argv[#argv + 1] = "-cp"
	argv[#argv + 1] = table.concat({ folder .. "/dss-kernel.jar", where.gson or "/usr/share/java/gson.jar", table.unpack(k.classpath) }, ":")
	argv[#argv + 1] = k.main
	local env = { LANG = "C.UTF-8" }
	for name, value in pairs(k.env) do env[name] = value end
	return { argv = argv, env = env, types = k.main == JOB_MARK and { "job" } or nil }
end

--- python { … } and its kin: checked where they stand, so that an error names their own line.
local function kernel_word(source, model, kind)
	return function(t)
		local line = source:line()
		source:want_open(kind)
		if type(t) ~= "table" then return source:report(line, ("%s wants a table: %s { … }"):format(kind, kind)) end
		local lines = source:lines(line)
		if kind == "command" then
			local argv, rest = {}, {}
			for k, v in pairs(t) do
				if math.type(k) then argv[k] = v else rest[k] = v end
			end
			if rest.argv == nil then rest.argv = argv end
			t = rest
		end
		local before = #source.errors
		local k = S.read(shapes[kind], t, { source = source, line = line, lines = lines }, kind)
		local made, why
		if #source.errors == before then made, why = kinds[kind](k, model.where) end
		if why then source:report(line, why) end
		made = made or {}
		local handle = setmetatable({}, Kernel)
		held[handle] = {
			kind = kind, argv = made.argv, path = made.path, env = environment_list(made.env or k.env or {}), types = k.types or made.types,
			heap_bytes = k.heap or 0,
		}
		return handle
	end
end

--- What only several keys together can tell. A list of reasons.
function M.contradictions(p)
	local out = {}
	local function say(...) out[#out + 1] = (...):format(select(2, ...)) end
	local limits, warm = p.limits or {}, p.warm or {}
	if warm.min and warm.max and warm.min > warm.max then say("warm.min is %d, more than warm.max, %d", warm.min, warm.max) end
	if warm.min and p.max and warm.min > p.max then say("warm.min is %d, more than max, %d", warm.min, p.max) end
	if limits.memory_max and not limits.memory then
		say("limits.memory_max stands without limits.memory")
	elseif limits.memory_max and limits.memory_max < limits.memory then
		say("limits.memory_max is %s, less than limits.memory, %s", size.print(limits.memory_max), size.print(limits.memory))
	end
	local heap = p.kernel and p.kernel.heap_bytes or 0
	if heap > 0 and limits.memory and limits.memory < heap * HEAP_ROOM then
		say("limits.memory is %s, less than 1.25 x the heap of %s", size.print(limits.memory), size.print(heap))
	end
	if p.recycle and p.recycle.memory and limits.memory and p.recycle.memory > limits.memory then
		say("recycle.memory is more than limits.memory: it would never be reached")
	end
	return out
end

--- The words for one file; what they say lands in `model`.
function M.words(source, model)
	local words = {}
	for _, kind in ipairs { "python", "java", "command" } do words[kind] = kernel_word(source, model, kind) end
	words.pool = source:named("pool", function(name, t, line)
		local functions, before = {}, #source.errors
		local p = S.read(shapes.pool, t, { source = source, line = line, lines = source:lines(line), functions = functions })
		if not id.is_id(name) or name:find "[:()]" or #name > 32 then
			return source:report(line, ("%q is no name for a pool: up to 32 letters, digits and _.-"):format(name))
		end
		if model.first["pool " .. name] then return source:report(line, ('pool "%s" stands twice, first at %s'):format(name, model.first["pool " .. name])) end
		model.first["pool " .. name] = source:at(line)
		p.name, p.source, p.run_as, p.functions = name, source:at(line), p.run_as or model.where.run_user, functions
		for _, trouble in ipairs(live.first(p, model.where.machine or machine)) do source:report(trouble.line or line, trouble.text) end
		if #source.errors == before then -- what is missing for a mistake that is told contradicts nothing
			for _, why in ipairs(M.contradictions(p)) do source:report(line, why) end
		end
		table.insert(model.pools, p)
	end)
	return words
end

--- The pools as flat tables with the names of core/fleet/pool.h.
function M.specs(model)
	local out = {}
	for _, p in ipairs(model.pools) do
		local limits, warm, recycle = p.limits, p.warm, p.recycle
		out[#out + 1] = {
			name = p.name, about = p.about, source = p.source, kind = p.kernel.kind, argv = p.kernel.argv, env = p.kernel.env,
			types = p.kernel.types, path = p.kernel.path, run_as = p.run_as, heap_bytes = p.kernel.heap_bytes,
			memory_bytes = limits.memory or 0, memory_max_bytes = limits.memory_max or 0, swap_bytes = limits.swap, threads = limits.threads,
			warm_min = warm.min, warm_max = warm.max, ready_for = warm.ready_for, max = p.max, recycle_age_ms = recycle.age or 0,
			recycle_after_tasks = p.functions.recycle and 0 or recycle.after_tasks,
			is_live = live.has_numbers(p) or nil, has_recycle = p.functions.recycle ~= nil or nil,
			recycle_memory_bytes = recycle.memory or 0, ready_within_ms = p.ready_within, grace_ms = p.grace,
		}
	end
	return out
end

return M
