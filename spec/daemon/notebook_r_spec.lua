-- Kernels of R against a real server: what holds for Python's holds for them.
local helper = require "spec.helper"
local Notebooks = require "spec.daemon.notebook_node"
local wait_for = helper.wait_for

local has_ir = Notebooks.has_jupyter and os.execute "Rscript -e 'library(IRkernel)' >/dev/null 2>&1"
	and os.execute(Notebooks.PYTHON .. " -s -c 'from jupyter_client.kernelspec import get_kernel_spec; get_kernel_spec(\"ir\")' 2>/dev/null")

local POLICY = Notebooks.POOLS .. [[
box "a kernel" { at = "notebooks/${user}/${kernel}", memory = "500m" }
place "R apart" { where = "kind = notebook and kernel_spec = ir", at = "notebooks-r/${user}" }
box "one of R" { at = "notebooks-r/${user}/${kernel}", memory = "500m", swap = 0 }
]]

describe("a notebook of R", function()
	local n

	local function open()
		if not has_ir then return pending "r-cran-irkernel or jupyter_server is not installed" end
		if n then return true end
		n = Notebooks.new { policies = { ["10.lua"] = POLICY } }
		n:project "STATS"
		return true
	end

	teardown(function()
		if n then n:remove() end
	end)

	it("has its kernel in a box of its own before its first line, where policies put it", function()
		if not open() then return end
		local kernel = n:start("STATS/r.ipynb", "ir")
		local row = n:rows()[kernel]
		assert.are.same({ "ann", "STATS", "STATS/r.ipynb", "ir" }, { row.user, row.project, row.notebook, row.kernelSpec })
		assert.are.equal(tostring(math.tointeger(row.pid)), n:cell(kernel, "cat(Sys.getpid())"))
		assert.are.equal(n.node.dir .. "/projects/STATS", n:cell(kernel, "cat(getwd())"))
		assert.are.equal("", n:cell(kernel, "cat(grep('^(DSS_|JPY_PARENT)', names(Sys.getenv()), value = TRUE))"))
		if n.node:status().isolation ~= "none" then
			assert.truthy(row.cgroup:find("/run/notebooks-r/ann/" .. row.id, 1, true), row.cgroup)
			assert.truthy(n:cell(kernel, "cat(readLines('/proc/self/cgroup'), sep = '\\n')"):find("/run/notebooks-r/ann/" .. row.id, 1, true))
			assert.are.equal(500 << 20, math.tointeger(row.limitBytes))
		end
		n:delete(kernel)
	end)

	it("keeps its variables over the death of the server and of the backend, and is stopped by an interrupt", function()
		if not open() then return end
		local kernel = n:start("STATS/kept.ipynb", "ir")
		n:cell(kernel, "kept <- 41; f <- function(x) x + kept")
		local pid = n:pid(kernel)
		n:kill "jupyter"
		assert.are.equal(pid, n:pid(kernel))
		n:await_idle(kernel)
		assert.are.equal("42", n:cell(kernel, "cat(f(1))"))
		n:kill "backend"
		wait_for("its row", function()
			local ok, rows = pcall(n.rows, n)
			return ok and rows[kernel]
		end, 30)
		n:send(kernel, "while (TRUE) Sys.sleep(0.1)")
		n:await(kernel, "its cell to be at work", function(r) return r.state == "busy" end)
		assert.are.equal(204, n:jupyter("post", "/api/kernels/" .. kernel .. "/interrupt", "{}").status)
		n:await_idle(kernel)
		assert.are.equal("43", n:cell(kernel, "cat(f(2))"))
		assert.are.equal(pid, n:pid(kernel))
		assert.are.equal(200, n:jupyter("post", "/api/kernels/" .. kernel .. "/restart", "{}").status)
		assert.are.equal("FALSE", n:cell(kernel, "cat(exists('kept'))"))
		n:delete(kernel)
	end)

	it("is busy in a cell that computes silently, idle after it and quiet from then on", function()
		if not open() then return end
		local kernel, session = n:start("STATS/idle.ipynb", "ir")
		n:cell(kernel, "1")
		local _, idle = n:await(kernel, "it to be quiet", function(r) return r.state == "idle" and (r.quietTime or 0) > 0 end)
		n:send(kernel, "while (!file.exists('go')) { x <- sum(sqrt(1:1000)); Sys.sleep(0.05) }")
		local _, busy = n:await(kernel, "it to be busy", function(r) return r.state == "busy" end)
		assert.are.same({ 0, 0 }, { math.tointeger(busy.quietTime), math.tointeger(busy.silentTime) })
		n:write("STATS/go", "")
		n:await(kernel, "it to be idle again", function(r) return r.state == "idle" and (r.quietTime or 0) > 0 and r.lastActivity > idle.lastActivity end, 60)
		assert.are.equal(200, (n.node:http("DELETE", "/api/notebooks/" .. session)))
		assert.is_nil(n:rows()[kernel])
	end)

	it("that passes its limit ends alone, with notebook, owner and limit told", function()
		if not open() then return end
		if n.node:status().isolation == "none" then return pending "no cgroups here" end
		local other, hungry = n:start("STATS/other.ipynb", "ir"), n:start("STATS/hungry.ipynb", "ir")
		n:cell(other, "kept <- 1")
		local server, before = n.node:pid "jupyter", n:pid(hungry)
		n:send(hungry, "held <- list(); for (i in 1:200) held[[i]] <- rep(1.5, 2e6)")
		local told = wait_for("the word", function()
			return n.node:read "run/backend.log":match 'Killed: The kernel of notebook "STATS/hungry.ipynb" of ann[^\n]*'
		end, 40)
		assert.truthy(told:find('box "one of R" (run/notebooks-r/ann/', 1, true), told)
		assert.truthy(told:find("500 MB", 1, true), told)
		wait_for("another kernel in its place", function()
			local p = n:rows()[hungry]
			return p and math.tointeger(p.pid) ~= before
		end, 20)
		assert.are.equal("1", n:cell(other, "cat(kept)"))
		assert.are.equal(server, n.node:pid "jupyter")
		n:delete(other)
		n:delete(hungry)
	end)
end)
