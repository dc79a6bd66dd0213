-- jupyter: the word `jupyter` of config/dss.lua → the service that the keeper runs, and what the backend is told of it.
--
-- The server runs as the run user, like the kernels, so nothing of its set-up may be theirs to change: its program and its configuration are
-- ours (kernels/jupyter), its settings travel in its environment, its token by a pipe. What it writes lies in notebooks/server/.
local json = require "bind.json"

local M = {}

local TERM = 15
local HOME = "/notebooks/server"

--- What of it the backend needs; nil where there is none.
function M.given(model)
	local other = model.attached
	if other then return { attach = other.attach, token_file = other.token_file, trust = other.trust, leases = other.leases } end
	local address = model.node.address
	if address == "0.0.0.0" or address == "::" then address = "127.0.0.1" end
	return model.jupyter and { is_ours = true, host = address:find(":", 1, true) and "[" .. address .. "]" or address,
		leases = model.jupyter.leases }
end

local function settings(model, where)
	local j = model.jupyter
	return {
		dir = where.dir, projects = where.dir .. "/projects", home = where.dir .. HOME, door = where.dir .. "/notebooks/door.sock",
		launcher = where.bin .. "/dss-logger", kernelspecs = j.kernelspecs and json.array(j.kernelspecs),
		hosts = json.array(model.node.hosts or {}), address = model.node.address,
	}
end

--- The service; PATH: of kernels, too.
function M.service(model, where, PATH)
	local j, home, ours = model.jupyter, where.dir .. HOME, where.share .. "/kernels/jupyter"
	local env = {
		PATH = PATH, LANG = "C.UTF-8", HOME = home, TMPDIR = "/tmp", PYTHONNOUSERSITE = "1", PYTHONDONTWRITEBYTECODE = "1",
		JUPYTER_CONFIG_DIR = ours .. "/config", JUPYTER_DATA_DIR = home .. "/data", JUPYTER_RUNTIME_DIR = home .. "/runtime",
		IPYTHONDIR = home .. "/ipython", DSS_JUPYTER = json.encode(settings(model, where)),
	}
	for name, value in pairs(j.env or {}) do
		if env[name] == nil or name == "PATH" or name == "LANG" or name == "TMPDIR" then env[name] = value end
	end
	return {
		name = "jupyter", argv = j.command or { j.python, "-s", ours .. "/serve.py" }, env = env, cwd = "/",
		user = model.node.run_user, limits = j.limits, files = j.files, ready = "fd", ready_within_ms = 60000,
		stop_signal = TERM, grace_ms = j.grace, give_up_ms = 3600000, after = { "logger" }, inherit = { "jupyter" },
		secret = where.dir .. "/config/jupyter.token", is_starter = not j.command, -- ours tells why it cannot start
	}
end

return M
