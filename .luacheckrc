-- luacheck: `luacheck lua policies spec`
std = "lua54"
max_line_length = 160
files["spec"] = { std = "+busted", max_line_length = false }      -- tables of cases
files["policies/spec"] = { std = "+busted" }
files["policies"] = { read_globals = { "pool", "box", "slots", "rule", "on", "access", "retention", "python", "java", "command", "retire", "kill", "abort",
	"notify", "keep", "seconds", "bytes", "machine", "macro", "duration", "flag", "size", "text", "delete", "unload", "interrupt" } }
files["**/config/dss.lua"] = { read_globals = { "node", "backend", "service", "log" } }
