-- facts: what filters, rules and lists can ask about each kind of subject: name, type, unit, where it stands in the rows of the API. The one
-- registry: what C hands to rules has these names and units too.
--
-- Units: size = bytes, duration = seconds, time = seconds since 1970, count and number = as they are (shares from 0 to 1), list = a list of texts.
-- A fact that nobody knows is absent, and never 0 or "". What is known to be none is "" (a text) or {} (a list). How a fact is read where it is
-- more than a member is data, too (fact_ways.lua): told() hands it to who has no Lua.
local ways = require "dss.model.fact_ways"

local M = {}

local function text(doc, field, more)
	local o = { type = "text", doc = doc, field = field }
	for k, v in pairs(more or {}) do o[k] = v end
	return o
end
local function of_type(type_of)
	return function(doc, field, way) return { type = type_of, doc = doc, field = field, way = way } end
end
local size, count, flag, number, time = of_type "size", of_type "count", of_type "flag", of_type "number", of_type "time"
local duration = of_type "duration"

-- a text that is known to be none where the row has no such member
local none = { otherwise = "" }

--- Seconds from one time of a row (ms) until another, or until now.
local function between(from, till) return { { from = from, till = till } } end
local function since(field) return between(field) end
local function since_or_zero(field) return { { when = { [field] = true }, from = field }, { value = 0 } } end

--- Milliseconds of a row as seconds.
local function seconds(field) return { { ms = field } } end

-- Without work since: told by the row, or known by what it is doing. Else: it worked before, nobody says until when.
local idle_way = {
	{ when = { idleSince = true }, from = "idleSince" },
	{ when = { state = { "busy", "draining" } }, value = 0 },
	{ when = { state = { "idle" }, user = false }, from = "readyAt" },
}

-- how long a task waited for its start, or waits
local waiting_way = {
	{ when = { state = { "queued" } }, from = "submitTime" },
	{ when = { kernel = true }, from = "submitTime", till = "startTime" },
}

local process_states = {
	"starting", "idle", "busy", "draining", "stopping", "gone", "up", "ready", "killing", "ended", "dead", "down", "backoff", "failed",
}

local process = {
	id = text("its id, such as fek-12 or backend", "id"),
	kind = text("service or kernel", "kind"),
	pool = text("the pool of a kernel", "pool", none),
	variant = text("which command, environment and limits of its pool it was started with", "variant", none),
	node = text("the machine it runs on", "node"),
	state = text("what it does: starting idle busy draining stopping ready …", "state", { words = process_states }),
	user = text("whose tasks it runs; \"\" = nobody's so far", "user", none),
	unix_user = text("the system's user that it runs as", "unixUser"),
	task = text("the task it works on; \"\" = none", "taskId", none),
	project = text("the project of that task", "project", none),
	parent = text("the process that started it", "parentId", none),
	cause = text("why it ended; \"\" = it has not", "cause", none),
	pid = count("its process id", "pid"),
	tasks = count("tasks that a kernel has run", "tasksRun"),
	memory = size("memory in use now, without cache that can be dropped", "memoryBytes"),
	rss = size("resident memory of the process alone", "rssBytes"),
	peak = size("the most it ever used", "peakBytes"),
	limit = size("the limit of its box", "limitBytes"),
	cpu = duration("processor time used", "cpuSeconds"),
	age = duration("since its start", "startedAt", between("startedAt", "exitedAt")),
	idle = duration("without a task; 0 = it works", "idleSince", idle_way),
	started = time("when it was started", "startedAt"),
	ready = time("when it became ready", "readyAt"),
}

local task = {
	id = text("its id", "jobId"),
	kind = text("future", "kind"),
	state = text("queued assigned running done failed aborted killed", "state",
		{ words = { "queued", "assigned", "running", "done", "failed", "aborted", "killed" } }),
	type = text("python java command …", "type"),
	pool = text("the pool it runs in", "pool"),
	project = text("its project", "project", none),
	user = text("whose it is", "owner"),
	title = text("its name", "title", {
		way = { { when = { title = true }, member = "title" }, { member = "payload", key = "displayName" } },
	}),
	kernel = text("the kernel it runs or ran in", "kernel", none),
	cause = text("why it ended early: oom_limit oom_heap deadline user policy …; \"\" = it did not", "cause", none),
	reason = text("why it waits", "reason", none),
	exclusive = text("the name that no other open task may have", "exclusive", none),
	tags = { type = "list", doc = "its tags: tags = nightly asks whether one of them is that", field = "tags", otherwise = {} },
	attempt = count("which attempt this is", "attempt"),
	position = count("its place in the queue", "position"),
	priority = count("its priority", "priority"),
	progress = number("how much is done: progress > 50%", "progress",
		{ { member = "progress", key = "fraction" } }),
	memory = size("memory in use now by its kernel", "memoryBytes"),
	peak = size("the most its kernel ever used", "peakBytes"),
	limit = size("the limit of its kernel's box", "limitBytes"),
	age = duration("since it was submitted", "submitTime", between "submitTime"),
	waiting = duration("how long it waits, or waited, for its start", "submitTime", waiting_way),
	running = duration("how long it runs, or ran", "runningTime",
		{ { when = { state = { "running", "done", "failed", "aborted", "killed", "assigned", "queued" } }, ms = "runningTime" } }),
	submitted = time("when it was submitted", "submitTime"),
	ended = time("when it ended", "endTime"),
	alive = flag("it has not ended", "alive"),
}

local pool = {
	id = text("its name", "name"),
	name = text("its name", "name"),
	kind = text("python java command", "kind"),
	about = text("what its policy says it is for", "about", none),
	source = text("file and line of its policy", "source", none),
	failure = text("why the last start failed; \"\" = it did not", "failure", none),
	max = count("alive at once", "max"),
	warm_min = count("warm.min in force", "warm", { { member = "warm", key = "min" } }),
	warm_max = count("warm.max in force", "warm", { { member = "warm", key = "max" } }),
	alive = count("kernels there are", "alive"),
	starting = count("kernels that start", "starting"),
	idle = count("kernels that wait for a task", "idle"),
	busy = count("kernels that work", "busy"),
	running = count("the same: tasks that run", "busy"),
	stopping = count("kernels that end", "stopping"),
	waiting = count("tasks that wait", "waiting"),
	failed_starts = { type = "count", doc = "failed starts in a row", field = "failedStarts", otherwise = 0 },
	demand = number("tasks submitted a second, over the last minute", "demand"),
	limit = size("limits.memory: of each kernel", "memoryLimitBytes"),
	limit_max = size("limits.memory_max: what a task may ask for", "memoryMaxBytes"),
	heap = size("the heap of each JVM", "heapBytes"),
	retired = flag("no policy names it any more", "retired"),
}

local recipe = {
	id = text("its id, the one of its process", "id"),
	kind = text("recipe", "kind"),
	project = text("its project", "project"),
	user = text("whose job it is", "user", none),
	job = text("its job", "jobId"),
	task = text("the job as a task", "taskId"),
	activity = text("its activity in the job", "activityId"),
	recipe = text("its name", "recipe"),
	recipe_type = text("python r shell spark java", "recipeType", { words = { "python", "r", "shell", "spark", "java" } }),
	state = text("waiting (for a place) or running", "state", { words = { "waiting", "running" } }),
	reason = text("why it waits", "reason", none),
	tags = { type = "list", doc = "tags of project and recipe", field = "tags", otherwise = {} },
	resources = { type = "list", doc = "what it uses that is scarce", field = "resources", otherwise = {} },
	priority = count("its job's", "priority"),
	memory = size("memory in use now; of a java recipe nobody knows it", "memoryBytes"),
	peak = size("the most it ever used", "peakBytes"),
	limit = size("its limits.memory", "limitBytes"),
	cpu = duration("processor time used", "cpuSeconds"),
	age = duration("since it was started", "startedAt", since "startedAt"),
	waiting = duration("how long it waits for a place; 0 = it does not", "waitingSince", since_or_zero "waitingSince"),
	started = time("when it was started", "startedAt"),
}

local webapp = {
	id = text("its name", "id"),
	project = text("its project", "project"),
	user = text("the project's owner", "owner", none),
	state = text("stopped starting running stopping backoff failed", "state",
		{ words = { "stopped", "starting", "running", "stopping", "backoff", "failed" } }),
	wanted = text("what was asked for last: running or stopped", "wanted", { words = { "running", "stopped" } }),
	reason = text("why it is not running", "reason", none),
	process = text("its process; \"\" = it has none", "processId", none),
	port = count("where it listens", "port"),
	crashes = count("crashes within ten minutes", "crashes"),
	autostart = flag("it starts with the instance", "autostart"),
	tags = { type = "list", doc = "tags of project and webapp", field = "tags", otherwise = {} },
	unhealthy = duration("how long its health path fails; 0 = it does not", "unhealthySince", since_or_zero "unhealthySince"),
	waiting = duration("how long it waits for a place; 0 = it does not", "waitingSince", since_or_zero "waitingSince"),
	memory = size("memory in use now", "memoryBytes"),
	peak = size("the most that its process ever used", "peakBytes"),
	limit = size("its limits.memory", "limitBytes"),
	cpu = duration("processor time used by its process", "cpuSeconds"),
	age = duration("since its last start was begun", "startedAt", since "startedAt"),
	ready = time("when it began to answer", "readyAt"),
}

local notebook_states = { "starting", "idle", "busy", "dead", "unknown" }

-- quiet and silent: docs/notebooks.md says exactly what they count; both are absent where nobody knows
local notebook = {
	id = text("the session", "id"),
	kernel = text("the kernel's id", "kernelId"),
	notebook = text("its path below projects/", "notebook"),
	name = text("as its project calls it: the path without project and .ipynb", "name"),
	project = text("its project", "project"),
	user = text("whose it is", "user", none),
	spec = text("its kernelspec: python3 ir …", "kernelSpec", none),
	state = text("starting idle busy dead unknown (the server cannot be asked)", "state", { words = notebook_states }),
	process = text("its process; \"\" = none that we know", "processId", none),
	pid = count("the kernel's process id", "pid"),
	sessions = count("sessions on its kernel", "sessions"),
	connections = count("clients that are connected", "connections"),
	connected = { type = "flag", doc = "a client is connected", field = "connections", way = { { above = "connections", than = 0 } } },
	busy = { type = "flag", doc = "a cell runs", field = "state",
		way = { { when = { state = { "starting", "idle", "busy", "dead" } }, same = "state", as = { "busy" } } } },
	leased = flag("its user asked to keep it", "leased"),
	lease = duration("for how much longer", "leasedUntil", { { left = "leasedUntil" } }),
	memory = size("memory of its box in use now", "memoryBytes"),
	peak = size("the most its box ever used", "peakBytes"),
	limit = size("the limit of its box", "limitBytes"),
	cpu = duration("processor time its box used", "cpuSeconds"),
	share = number("of a core, lately: share > 5%", "cpuShare"),
	age = duration("since its kernel was started", "startedAt", since "startedAt"),
	quiet = duration("nothing happened at all: no cell, no client, no processor time", "quietTime", seconds "quietTime"),
	silent = duration("no cell and no processor time, whoever is connected", "silentTime", seconds "silentTime"),
	started = time("when its kernel was started", "startedAt"),
	worked = time("when it worked last", "lastActivity"),
}

local board_kinds = { "future", "job", "recipe", "training", "webapp", "notebook", "macro", "kernel", "service" }
local board_states = { "waiting", "starting", "running", "idle", "ready", "stopping", "backoff", "stopped", "unknown" }

-- rows of GET /api/board, where all kinds stand side by side
local board = {
	id = text("its id among all kinds, such as job:SALES/nightly_1", "id"),
	kind = text("future job recipe training webapp notebook macro kernel service", "kind", { words = board_kinds }),
	what = text("what it is called", "what"),
	title = text("the same", "what"),
	ref = text("its id among its kind", "ref"),
	parent = text("the row that it belongs to: a recipe's job", "parent", none),
	project = text("its project", "project", none),
	user = text("whose it is", "user", none),
	pool = text("the pool it runs in", "pool", none),
	state = text("waiting starting running idle ready stopping backoff stopped unknown", "state", { words = board_states }),
	reason = text("why it waits, or ends", "reason", none),
	limit_owner = text("whose limit that of its memory is", "limitOwner", none),
	process = text("its process; \"\" = it has none", "processId", none),
	pid = count("its process id", "pid"),
	attempt = count("which attempt this is", "attempt"),
	position = count("its place in the line", "position"),
	connections = count("clients of a notebook", "connections"),
	tags = { type = "list", doc = "its tags", field = "tags", otherwise = {} },
	progress = number("how much is done: progress > 50%", "progress"),
	memory = size("memory in use now", "memoryBytes"),
	peak = size("the most its process ever used", "peakBytes"),
	limit = size("the limit of its memory", "limitBytes"),
	share = number("of a core, lately: share > 50%", "cpuShare"),
	cpu = duration("processor time used", "cpuSeconds"),
	age = duration("since it was submitted, or started", "submittedAt",
		{ { when = { submittedAt = true }, from = "submittedAt" }, { from = "startedAt" } }),
	elapsed = duration("since it was started", "startedAt", since "startedAt"),
	since = duration("how long it is in its state", "sinceAt", since "sinceAt"),
	waiting = duration("how long it waits; 0 = it does not", "sinceAt",
		{ { when = { state = { "waiting" } }, from = "sinceAt" }, { value = 0 } }),
	quiet = duration("of a notebook: nothing happened at all", "quietAt", since "quietAt"),
	silent = duration("of a notebook: no cell and no processor time, whoever is connected", "silentAt", since "silentAt"),
	lease = duration("of a notebook: for how much longer its user keeps it", "leasedUntil", { { left = "leasedUntil" } }),
	submitted = time("when it was submitted", "submittedAt"),
	started = time("when it was started", "startedAt"),
}

local function someone(who)
	return {
		id = text("the " .. who, "id"),
		name = text("the same", "id"),
		running = count("tasks that run", "running"),
		waiting = count("tasks that wait", "waiting"),
		kernels = count("kernels that work for the " .. who, "kernels"),
		memory = size("memory of those kernels", "memoryBytes"),
		limit = size("sum of their limits", "limitBytes"),
		cpu = duration("processor time used by those kernels", "cpuSeconds"),
	}
end

local node = {
	id = text("its name", "id"),
	cores = count("processors", "cores"),
	total = size("memory it has", "totalBytes"),
	free = size("memory that could be given out now", "freeBytes"),
	memory = size("memory in use by all of our boxes", "memoryBytes"),
	limit = size("memory that our boxes may use together", "limitBytes"),
	load = number("tasks that run or want to, over the last minute", "load"),
	kernels = count("kernels there are", "kernels"),
	running = count("tasks that run", "running"),
	waiting = count("tasks that wait", "waiting"),
	age = duration("since the instance was started", "startedAt", since "startedAt"),
	draining = flag("it takes no new work", "draining"),
}

-- kinds of subjects
local kinds = {
	process = process, kernel = process, task = task, recipe = recipe, webapp = webapp, notebook = notebook, pool = pool, node = node,
	board = board, user = someone "user", project = someone "project",
}

for _, registry in pairs(kinds) do
	for _, fact in pairs(registry) do
		if fact.way and not fact.get then fact.get = ways.compile(fact.way) end
	end
end

local function sorted(t)
	local out = {}
	for name in pairs(t) do out[#out + 1] = name end
	table.sort(out)
	return out
end

M.kinds = sorted(kinds)

--- The registry of a kind: name → { type, doc, field?, words? }, as filter.parse wants it; nil: no such kind.
function M.of(kind) return kinds[kind] end

--- What there is, for help and completion: a list of { name, type, doc }, by name.
function M.docs(kind)
	local out = {}
	for i, name in ipairs(sorted(kinds[kind])) do out[i] = { name = name, type = kinds[kind][name].type, doc = kinds[kind][name].doc } end
	return out
end

--- The same for who evaluates filters elsewhere: { name, type, doc, words?, otherwise?, way }, by name.
function M.told(kind)
	local out = {}
	for i, name in ipairs(sorted(kinds[kind])) do
		local f = kinds[kind][name]
		local plain = { { [f.type == "time" and "ms" or "member"] = f.field } }
		out[i] = { name = name, type = f.type, doc = f.doc, words = f.words, otherwise = f.otherwise, way = f.way or plain }
	end
	return out
end

local weekdays = { "sun", "mon", "tue", "wed", "thu", "fri", "sat" }
local clock_at, clock_then

--- { year, month, day, hour, minute, weekday, seconds } of the node's local time, for `during`. To be read only.
function M.clock(now_s)
	now_s = now_s // 1 | 0
	if clock_at ~= now_s then
		local d = os.date("*t", now_s)
		clock_at = now_s
		clock_then = { year = d.year, month = d.month, day = d.day, hour = d.hour, minute = d.min, weekday = weekdays[d.wday], seconds = now_s }
	end
	return clock_then
end

local lua_type = { text = "string", list = "table", flag = "boolean" }

--- One fact of a row, or nil.
local function value_of(fact, row, now_s)
	local v
	if fact.get then v = fact.get(row, now_s) else v = row[fact.field] end
	if type(v) ~= (lua_type[fact.type] or "number") or v ~= v then return fact.otherwise end
	if fact.type == "time" and not fact.get then v = v / 1000 end
	return v
end

--- The facts of a row of the API (decoded JSON; times in ms there). now_s: seconds since 1970. names: those alone (nil = all); `clock` is
-- always there.
function M.from_row(kind, row, now_s, names)
	local registry, out = kinds[kind], { clock = M.clock(now_s) }
	if names then
		for _, name in ipairs(names) do
			if registry[name] then out[name] = value_of(registry[name], row, now_s) end
		end
		return out
	end
	for name, fact in pairs(registry) do out[name] = value_of(fact, row, now_s) end
	return out
end

return M
