-- routes: every endpoint on one line: method, path, right, handler, what it does. A path that begins with PUBLIC is served beneath both
-- prefixes of the public API; {name} is one segment and is handed to the handler; a last {…} stands for all that may
-- follow, and is not. Doubled and trailing slashes do not matter.
local alerts = require "dss.api.alerts"
local board = require "dss.api.board"
local boxes = require "dss.api.boxes"
local console = require "dss.api.console"
local decisions = require "dss.api.decisions"
local ends = require "dss.api.ends"
local events = require "dss.api.events"
local filters = require "dss.api.filters"
local futures = require "dss.api.futures"
local health = require "dss.api.health"
local jobs = require "dss.api.jobs"
local keys = require "dss.api.keys"
local lists = require "dss.api.lists"
local logs = require "dss.api.logs"
local metrics = require "dss.api.metrics"
local macros = require "dss.api.macros"
local models = require "dss.api.models"
local processes = require "dss.api.processes"
local projects = require "dss.api.projects"
local slots = require "dss.api.slots"
local tasks = require "dss.api.tasks"
local policies = require "dss.api.policies"
local making = require "dss.api.making"
local me = require "dss.api.me"
local page = require "dss.api.page"
local usage = require "dss.api.usage"
local notebooks = require "dss.api.notebooks"
local notebook_ends = require "dss.api.notebook_ends"
local notebook_files = require "dss.api.notebook_files"
local origin = require "dss.api.origin"
local webapps = require "dss.api.webapps"

local M = {}

M.prefixes = { "/public/api", "/dip/publicapi" }

-- right: open = anybody, local = a client on this machine or a known key, user = a known key, admin = an admin's key
M.table = {
	{ "GET", "/", "open", page.front, "The web page, to who accepts text/html; else what there is, in short." },
	{ "GET", "/web/{…}", "open", page.file, "Its files; names with a hash never change." },
	{ "GET", "/api/me", "user", me.get, "Who asks: user, isAdmin, key; the instance, its version and isolation." },
	{ "GET", "/health", "open", health.get, "Is the backend well: keeper, isolation, policies." },
	{ "POST", "/api/futures", "user", futures.submit, "Submit a task." },
	{ "GET", "/api/futures/{id}", "user", futures.get, "State of a task; ?wait=S waits for its end, ?peek=true leaves the result out." },
	{ "DELETE", "/api/futures/{id}", "user", futures.abort, "Abort a task." },
	{ "GET", "/api/processes", "user", lists.processes, "Every process; others' kernels to admins only; ?where=FILTER; ?members=true: who lives in the boxes." },
	{ "DELETE", "/api/processes/{id}", "admin", processes.free, "An idle kernel of a pool goes; 409 and why where it works, or its pool would start another." },
	{ "GET", "/api/node", "user", lists.node, "The node's memory: budget, reserve, what is promised to each pool." },
	{ "GET", "/api/pools", "user", lists.pools, "Pools of kernels: warm, busy, waiting; ?where=FILTER." },
	{ "GET", "/api/pools/{pool}/curve", "user", tasks.pool_curve, "The last hour of a pool: warm, busy, waiting, target, cold starts." },
	{ "GET", "/api/slots", "user", slots.list, "Rules of slots and boxes: used of max, for each key; others' keys are shown to admins only." },
	{ "GET", "/api/boxes", "user", boxes.list, "Levels of run/ in use, what limits them, what they use; those of what one may see, admins all." },
	{ "GET", "/api/tasks", "user", lists.tasks, "Open tasks and what ended lately; ?ended=N, ?where=FILTER." },
	{ "GET", "/api/facts", "user", lists.facts, "What filters can ask of processes, tasks and pools: name, type, meaning." },
	{ "POST", "/api/filters", "user", filters.look, 'A filter as data, or what is wrong with it; words at the cursor: {"kind","text","cursor"?}.' },
	{ "GET", "/api/tasks/{id}", "user", tasks.get, "One task, open or ended, with all that is known of it." },
	{ "POST", "/api/tasks/{id}/again", "user", tasks.again, 'The same as a new task of yours: {"limits"?,"timeoutMs"?}.' },
	{ "GET", "/api/tasks/{id}/log", "user", logs.get, "What a task printed, from ?offset=N (negative: from the end); ?wait=S waits for more." },
	{ "GET", "/api/usage", "user", usage.get, "What processes used: ?by=user|project|…, ?since=7d ?until= ?user= ?project= ?kind= ?limit=; own use, admins all." },
	{ "GET", "/api/alerts", "admin", alerts.list, "What an admin should know now, until it is over; worst first." },
	{ "GET", "/api/decisions", "user", decisions.list, "What was decided and why, newest first; ?kind= ?subject= ?word= ?name= ?would=true ?before=SEQ." },
	{ "GET", "/api/policies", "admin", policies.list, "The files of the policies in force: name, text, version." },
	{ "GET", "/api/policies/state", "admin", policies.state, "Which version is in force, and what is wrong with the files in policies/." },
	{ "GET", "/api/policies/versions", "admin", policies.versions, "The sets that were in force, newest first; ?limit=N." },
	{ "GET", "/api/policies/versions/{n}", "admin", policies.version, "The files of one of them." },
	{ "PUT", "/api/policies", "admin", policies.put, 'Another set, if it is good: {"files":[{"name","text"} | {"name","remove":true}],"base":VERSION}.' },
	{ "POST", "/api/policies/rollback", "admin", policies.rollback, 'Back to a version: {"version":N,"overwrite"?}; answers once it is in force.' },
	{ "POST", "/api/policies/check", "admin", policies.check, 'Look for mistakes: {"files":[{"name","text"}]} as a set; nothing is taken.' },
	{ "POST", "/api/console", "admin", console.line, 'A line of a live prompt, over run/admin.sock alone: {"session"?,"line"}.' },
	{ "POST", "/api/console/complete", "admin", console.complete, 'What may stand under the cursor there: {"session","line","cursor"}.' },
	{ "GET", "/metrics", "local", metrics.get, "Numbers for Prometheus; open on this machine, elsewhere with a key." },
	{ "GET", "/api/events", "user", events.follow, "Facts as server-sent events; Last-Event-ID: EPOCH-SEQ (or ?since=) goes on after it; ?board=true&rev=." },
	{ "GET", "/api/board", "user", board.list, "Everything that runs or waits now, of all kinds: own ones, admins all; ?where=FILTER." },
	{ "POST", "/api/ends", "user", ends.preview, 'What would end, and what is lost with it: {"ids":[ids of rows of the board]}; nothing is ended.' },
	{ "GET", "/api/curves", "user", board.curves, "Memory and processor time of the last minutes: ?ids=PROCESS,…&points=60." },
	{ "GET", "/api/curves/{process}", "user", board.curve, "The same of a process's whole life, also of one that ended lately." },
	{ "POST", "/api/keys", "admin", keys.make, 'Make a key: {"user","label"?,"admin"?}; the answer has it in "key", once.' },
	{ "GET", "/api/keys", "user", keys.list, "Keys in force, never their secrets: own ones, admins all; ?revoked=true adds those that are over." },
	{ "DELETE", "/api/keys/{id}", "user", keys.revoke, "Revoke a key: one's own, admins any." },
	{ "GET", "PUBLIC/futures", "user", futures.list, "Running tasks; allUsers=true needs an admin." },
	{ "GET", "PUBLIC/futures/{id}", "user", futures.get, "State of a task; peek=False has the result, or 422 with the reason." },
	{ "DELETE", "PUBLIC/futures/{id}", "user", futures.abort, "Abort a task." },
	{ "GET", "/api/jobs", "user", jobs.all, "Jobs of all projects, newest first: own ones, admins all; ?limit=N." },
	{ "GET", "/api/jobs/{project}/{job}/log", "user", jobs.piece, "A piece of a job's log, from ?offset=N (negative: from the end)." },
	{ "GET", "/api/projects/{project}", "user", projects.data, "What project.lua says, checked." },
	{ "GET", "/api/projects/{project}/mistakes", "user", projects.mistakes, "What is wrong with project.lua, and files that it names and that are not there." },
	{ "GET", "PUBLIC/projects", "user", projects.list, "Projects that you may read." },
	{ "POST", "PUBLIC/projects", "admin", making.make, 'Make a project: {"projectKey","name","owner"?,…}.' },
	{ "GET", "PUBLIC/projects/{project}", "user", projects.get, "One project." },
	{ "DELETE", "PUBLIC/projects/{project}", "user", making.remove, "Remove it: owner, admins; ?wait=true ends what runs, ?clearManagedDatasets=true the data." },
	{ "GET", "PUBLIC/projects/{project}/metadata", "user", projects.metadata, "Its label, description, tags." },
	{ "PUT", "PUBLIC/projects/{project}/metadata", "user", projects.put_metadata, "Set its label, description, tags; what is left out stays." },
	{ "GET", "PUBLIC/projects/{project}/permissions", "user", projects.permissions, "Its owner, and who may do what." },
	{ "PUT", "PUBLIC/projects/{project}/permissions", "user", projects.put_permissions, "Set who may do what: its owner and admins; another owner: admins." },
	{ "GET", "PUBLIC/projects/{project}/variables", "user", projects.variables, "Its variables." },
	{ "PUT", "PUBLIC/projects/{project}/variables", "user", projects.put_variables, 'Set {"standard","local"}: over those of project.lua, name by name.' },
	{ "GET", "PUBLIC/projects/{project}/variables-resolved", "user", projects.resolved, "Its variables, flat, over the instance's; typed=true: not as texts." },
	{ "GET", "PUBLIC/projects/{project}/tags", "user", projects.tags, "Its tags." },
	{ "PUT", "PUBLIC/projects/{project}/tags", "user", projects.put_tags, "Set its tags and their colours." },
	{ "GET", "PUBLIC/projects/{project}/settings", "user", projects.settings, "Its settings: a free object." },
	{ "PUT", "PUBLIC/projects/{project}/settings", "user", projects.put_settings, "Set them." },
	{ "GET", "PUBLIC/projects/{project}/interest", "user", projects.interest, "Stars and watchers: none here." },
	{ "GET", "PUBLIC/projects/{project}/timeline", "user", projects.timeline, "Who set what last; ?itemCount=N." },
	{ "GET", "PUBLIC/admin/variables", "admin", projects.instance_variables, "Variables of the instance." },
	{ "PUT", "PUBLIC/admin/variables", "admin", projects.put_instance_variables, "Set them, as a whole." },
	{ "GET", "PUBLIC/projects/{project}/flow/graph", "user", projects.graph, "Its recipes and datasets as a graph." },
	{ "GET", "PUBLIC/projects/{project}/jobs", "user", jobs.list, "Its jobs, newest first; ?limit=N." },
	{ "POST", "PUBLIC/projects/{project}/jobs", "user", jobs.start, 'Start a job: {"type","outputs":[{"type":"DATASET","id"}]}.' },
	{ "GET", "PUBLIC/projects/{project}/jobs/{job}", "user", jobs.status, "A job's state and its activities." },
	{ "POST", "PUBLIC/projects/{project}/jobs/{job}/abort", "user", jobs.abort, "Abort a job." },
	{ "GET", "PUBLIC/projects/{project}/jobs/{job}/log", "user", jobs.log, "A job's log; ?activity=ID." },
	{ "GET", "/api/models", "user", models.all, "Trainings of the models of projects that you may read, newest first; ?project=KEY." },
	{ "GET", "PUBLIC/projects/{project}/models/lab", "user", models.list, "Its models." },
	{ "GET", "PUBLIC/projects/{project}/models/labs/mltask-queues", "user", models.queues, "Which of them train or wait." },
	{ "GET", "PUBLIC/projects/{project}/models/lab/{analysis}/{task}/status", "user", models.status, "Does it train; what was trained." },
	{ "GET", "PUBLIC/projects/{project}/models/lab/{analysis}/{task}/models-snippets", "user", models.snippets, 'In short: {"modelsIds":[…]}.' },
	{ "POST", "PUBLIC/projects/{project}/models/lab/{analysis}/{task}/train", "user", models.train, 'Start a session: {"sessionName"?}.' },
	{ "POST", "PUBLIC/projects/{project}/models/lab/{analysis}/{task}/actions/train-queue", "user", models.train_queue, "The session that is next." },
	{ "POST", "PUBLIC/projects/{project}/models/lab/{analysis}/{task}/ensemble", "user", models.ensemble, "Not made here: 501." },
	{ "DELETE", "PUBLIC/projects/{project}/models/lab/{analysis}/{task}", "user", models.delete, "End its trainings." },
	{ "GET", "/api/macros", "user", macros.all, "Macros that you may run." },
	{ "GET", "/api/macros/{macro}", "user", macros.show, "One macro: its params." },
	{ "POST", "/api/macros/{macro}", "user", macros.start, 'Run one over the whole instance: {"params"?,"adminParams"?}; ?wait=true.' },
	{ "GET", "/api/macro-runs", "user", macros.runs, "Runs of macros that go on, or whose result nobody has fetched: own ones, admins all." },
	{ "GET", "/api/macro-runs/{run}", "user", macros.state_of, "One run: does it go on, how far it is, what failed." },
	{ "DELETE", "/api/macro-runs/{run}", "user", macros.abort_of, "Abort a run." },
	{ "GET", "/api/macro-runs/{run}/result", "user", macros.result_of, "Its result, once." },
	{ "GET", "PUBLIC/projects/{project}/runnables", "user", macros.list, "Macros that you may run in the project." },
	{ "GET", "PUBLIC/projects/{project}/runnables/{macro}", "user", macros.get, "One macro: its params." },
	{ "POST", "PUBLIC/projects/{project}/runnables/{macro}", "user", macros.run, 'Run one over the project: {"params"?,"adminParams"?}; ?wait=True.' },
	{ "POST", "PUBLIC/projects/{project}/runnables/{macro}/abort/{run}", "user", macros.abort, "Abort a run." },
	{ "GET", "PUBLIC/projects/{project}/runnables/{macro}/state/{run}", "user", macros.state, "Does a run go on, how far it is, what failed." },
	{ "GET", "PUBLIC/projects/{project}/runnables/{macro}/result/{run}", "user", macros.result, "Its result, once: the run is over then." },
	{ "GET", "/api/webapps", "user", webapps.all, "Webapps of all projects that you may read, and what their processes do." },
	{ "POST", "/api/webapps/{project}/{webapp}/ticket", "user", origin.ticket, "A link that lets a browser in, once, for a minute." },
	{ "GET", "/api/webapps/{project}/{webapp}/log", "user", webapps.log, "A piece of a webapp's log, from ?offset=N (negative: from the end)." },
	{ "GET", "PUBLIC/projects/{project}/webapps", "user", webapps.list, "Its webapps." },
	{ "GET", "PUBLIC/projects/{project}/webapps/{webapp}", "user", webapps.get, "One webapp." },
	{ "PUT", "PUBLIC/projects/{project}/webapps/{webapp}", "user", webapps.put, "Nothing where it is what GET told; else 409: project.lua changes it." },
	{ "GET", "PUBLIC/projects/{project}/webapps/{webapp}/backend/state", "user", webapps.state, "Is its process up; the end of its log." },
	{ "PUT", "PUBLIC/projects/{project}/webapps/{webapp}/backend/actions/restart", "user", webapps.restart, "Start it, or start it anew: a future." },
	{ "PUT", "PUBLIC/projects/{project}/webapps/{webapp}/backend/actions/stop", "user", webapps.stop, "Stop it; it stays stopped." },
	{ "GET", "/api/notebooks", "user", notebooks.list, "Sessions of notebooks in projects that you may read; ?where=FILTER." },
	{ "GET", "/api/notebooks/ends", "user", notebook_ends.list, "How kernels of a notebook ended, newest first; ?of=PATH, or an id of it." },
	{ "GET", "/api/notebooks/link", "admin", notebooks.link, "Where the notebook server listens, with its token." },
	{ "DELETE", "/api/notebooks/{session}", "user", notebooks.unload, "Unload: its kernel ends, and with it all sessions on it." },
	{ "POST", "/api/notebooks/{session}/unload", "user", notebooks.unload, "The same." },
	{ "POST", "/api/notebooks/{session}/interrupt", "user", notebooks.interrupt, "Interrupt its cell; its variables stay." },
	{ "POST", "/api/notebooks/{session}/keep", "user", notebooks.keep, 'A lease: {"for":"8h"}; until then no policy ends it; "0s": no longer.' },
	{ "GET", "PUBLIC/admin/notebooks", "admin", notebooks.admin, "Notebooks with sessions, of all projects." },
	{ "GET", "PUBLIC/projects/{project}/notebooks/active", "user", notebooks.active, "Notebooks with sessions, of one project." },
	{ "GET", "PUBLIC/projects/{project}/notebooks", "user", notebooks.state, "One of them, ?notebookName=, or null." },
	{ "DELETE", "PUBLIC/projects/{project}/notebooks", "user", notebooks.unload_old, "Unload ?notebookName=&sessionId=." },
	{ "GET", "PUBLIC/projects/{project}/jupyter-notebooks", "user", notebook_files.list, "Its notebooks; ?active=true: those with sessions." },
	{ "GET", "PUBLIC/projects/{project}/jupyter-notebooks/{name}", "user", notebook_files.get, "A notebook's document." },
	{ "PUT", "PUBLIC/projects/{project}/jupyter-notebooks/{name}", "user", notebook_files.put, "Save it." },
	{ "POST", "PUBLIC/projects/{project}/jupyter-notebooks/{name}", "user", notebook_files.post, "Make it." },
	{ "DELETE", "PUBLIC/projects/{project}/jupyter-notebooks/{name}", "user", notebook_files.delete, "Unload and remove it." },
	{ "DELETE", "PUBLIC/projects/{project}/jupyter-notebooks/{name}/outputs", "user", notebook_files.clear_outputs, "Remove the outputs of its cells." },
	{ "GET", "PUBLIC/projects/{project}/jupyter-notebooks/{name}/sessions", "user", notebooks.sessions, "Its sessions." },
	{ "DELETE", "PUBLIC/projects/{project}/jupyter-notebooks/{name}/sessions/{session}", "user", notebooks.unload_session, "Unload one." },
	{ "GET", "/web-apps-backends/{project}/{webapp}/{…}", "open", origin.enter, "A webapp: on to the webapps' own port, with a ticket." },
}

local function split(path)
	local segments = {}
	for s in path:gmatch "[^/]+" do segments[#segments + 1] = s end
	return segments
end

local function compile()
	local out = {}
	for _, row in ipairs(M.table) do
		local method, path, right, handler = table.unpack(row)
		local paths = { path }
		if path:sub(1, 6) == "PUBLIC" then
			paths = {}
			for i, prefix in ipairs(M.prefixes) do paths[i] = prefix .. path:sub(7) end
		end
		for _, p in ipairs(paths) do out[#out + 1] = { method = method, path = path, segments = split(p), right = right, handler = handler } end
	end
	return out
end

-- by the number of segments; those that end with {…} apart
local compiled, open_ended = {}, {}
for _, route in ipairs(compile()) do
	local n = #route.segments
	if route.segments[n] == "{…}" then
		route.segments[n] = nil
		open_ended[#open_ended + 1] = route
	else
		compiled[n] = compiled[n] or {}
		table.insert(compiled[n], route)
	end
end

local function is_capture(p) return p:byte() == 123 end -- {

local function fits(pattern, segments)
	for i, p in ipairs(pattern) do
		if p ~= segments[i] and not is_capture(p) then return false end
	end
	return true
end

local function captures(pattern, segments)
	local out = {}
	for i, p in ipairs(pattern) do
		if is_capture(p) then out[#out + 1] = segments[i] end
	end
	return out
end

--- The route and its captured segments; or nil and the methods that this path has ({}: the path is unknown).
function M.find(method, segments)
	local allowed = {}
	if method == "HEAD" then method = "GET" end
	for _, route in ipairs(compiled[#segments] or {}) do
		if fits(route.segments, segments) then
			if route.method == method then return route, captures(route.segments, segments) end
			allowed[#allowed + 1] = route.method
		end
	end
	for _, route in ipairs(open_ended) do
		if #segments >= #route.segments and fits(route.segments, segments) then
			if route.method == method then return route, captures(route.segments, segments) end
			allowed[#allowed + 1] = route.method
		end
	end
	return nil, allowed
end

return M
