-- The shell's completion of filters: the facts it knows are those of the registry.
local helper = require "spec.helper"
local facts = require "dss.model.facts"
local Instance = require "spec.instance"

local function complete(...)
	local words = {}
	for _, w in ipairs { ... } do words[#words + 1] = Instance.quote(w) end
	local script = ("source etc/completion.bash; COMP_WORDS=(%s); COMP_CWORD=%d; _dssctl 2>/dev/null; printf '%%s\\n' \"${COMPREPLY[@]}\""):format(table.concat(words, " "), #words - 1)
	local out, set = Instance.run { "bash", "-c", script }, {}
	for line in out:gmatch "[^\n]+" do set[#set + 1] = line end
	return set
end

describe("completion of filters", function()
	it("knows every fact of processes, tasks, pools and notebooks, and no other", function()
		local text = helper.read "etc/completion.bash"
		for _, kind in ipairs { "process", "task", "pool", "notebook" } do
			local names = {}
			for i, d in ipairs(facts.docs(kind)) do names[i] = d.name end
			assert.equal(table.concat(names, " "), text:match("_dssctl_" .. kind .. '_facts="([^"]*)"'))
		end
	end)

	it("completes facts behind --where, by the verb", function()
		assert.same({ "memory" }, complete("dssctl", "ps", "--where", "mem"))
		assert.same({ "priority" }, complete("dssctl", "abort", "--where", "pri"))
		assert.same({ "priority" }, complete("dssctl", "tasks", "--where", "pri"))
		assert.same({}, complete("dssctl", "ps", "--where", "pri"))
		assert.same({ "warm_max", "warm_min" }, (function()
			local out = complete("dssctl", "pools", "--where", "warm")
			table.sort(out)
			return out
		end)())
	end)

	it("completes facts as words of ps, and the last word within quotes", function()
		assert.same({ "memory" }, complete("dssctl", "ps", "mem"))
		assert.same({ "kind = kernel and memory" }, complete("dssctl", "ps", "'kind = kernel and mem"))
		assert.same({ "kind = kernel and (memory" }, complete("dssctl", "tasks", "--where", '"kind = kernel and (mem'))
	end)

	it("still completes options and other verbs", function()
		assert.same({ "--key-file" }, complete(Instance.program "dssctl", "ps", "--key"))
		assert.same({ "python" }, complete(Instance.program "dssctl", "submit", "py"))
	end)
end)
