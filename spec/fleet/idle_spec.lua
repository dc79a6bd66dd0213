-- How long nobody needed a kernel: timelines of looks, and what follows from them.
require "spec.helper"
local t_idle = require "t_idle"

local S, MIN, H, D = 1000, 60000, 3600000, 86400000
local T0 = 1795000000000

describe("idleness of a notebook's kernel", function()
	local kernel, at, cpu, base

	before_each(function()
		kernel, at, cpu = t_idle.new(), T0, 1000
		base = { state = "idle", connections = 0, exact = true, work = 0, started = T0 }
	end)

	--- Looks every `step` for `span`, each with `more`; a kernel at rest uses 0.3 % of a core.
	local function pass(span, more, step)
		local till = at + span
		step = step or math.min(span, MIN // 2)
		while at < till do
			at = at + step
			local look = { at = at }
			for k, v in pairs(base) do look[k] = v end
			for k, v in pairs(more or {}) do look[k] = v end
			cpu = cpu + math.floor(step * (look.share or 0.003))
			look.share = nil
			look.cpu = look.cpu or cpu
			kernel:look(look)
		end
	end
	local function quiet() return kernel:quiet(at) end
	local function silent() return kernel:silent(at) end

	it("is counted from its last cell", function()
		pass(10 * S, { state = "busy", connections = 1 })
		assert.are.equal(0, quiet())
		base.work = at
		pass(2 * H)
		assert.are.equal(2 * H, quiet())
		assert.are.equal(2 * H, silent())
	end)

	it("is none while a cell runs that says and computes nothing for hours", function()
		pass(9 * H, { state = "busy", work = T0 + 5 * S, activity = T0 + 5 * S })
		assert.are.equal(0, quiet())
		assert.are.equal(0, silent())
	end)

	it("is none while a thread goes on after its cell", function()
		pass(6 * H, { share = 0.4 })
		assert.are.equal(0, quiet())
		assert.are.equal(0, silent())
		pass(3 * H)
		assert.are.equal(3 * H, quiet())
	end)

	it("sees a slow thread at two percent of a core, and takes the beat of a kernel at rest for nothing", function()
		pass(6 * H, { share = 0.02 })
		assert.are.equal(0, silent())
		pass(6 * H, { share = 0.004 })
		assert.are.equal(6 * H, silent())
	end)

	it("is not ended by a client that comes again and again without a request", function()
		base.work = T0 + 1 * MIN
		pass(1 * D)
		for _ = 1, 20 do
			pass(20 * S, { connections = 1, activity = at + 5 * S }, 10 * S)
			pass(1 * H)
		end
		assert.are.equal(at - base.work, silent())
		assert.are.equal(at - base.work, quiet())
	end)

	it("is not ended by such a client on a server that cannot tell requests apart", function()
		base.exact = false
		pass(10 * MIN, { activity = T0 + 1 * MIN })
		base.activity = T0 + 1 * MIN
		pass(5 * H)
		base.activity = at + 5 * S
		pass(10 * S, { connections = 1 }, 10 * S)
		pass(10 * S, nil, 10 * S)
		assert.are.equal(at - (T0 + 1 * MIN), silent())
	end)

	it("is ended there by a request of a client that was there before", function()
		base.exact = false
		base.connections = 1
		pass(5 * H, { activity = T0 + 1 * MIN })
		pass(10 * S, { activity = at + 4 * S }, 10 * S)
		assert.are.equal(6 * S, silent())
	end)

	it("has two measures while a client stays: a tab that is open for days is silent, and not quiet", function()
		base.work = T0 + MIN
		pass(4 * D, { connections = 1 }, MIN)
		assert.are.equal(0, quiet())
		assert.are.equal(4 * D - MIN, silent())
	end)

	it("is quiet from when a client left that had stayed", function()
		base.work = T0 + MIN
		pass(2 * D, { connections = 1 }, MIN)
		pass(MIN)
		assert.is_true(quiet() <= 30 * S)
		pass(3 * H)
		assert.are.equal(3 * H + MIN // 2, quiet())
		assert.are.equal(2 * D + 3 * H, silent())
	end)

	it("is unknown while the kernel starts", function()
		pass(1 * MIN, { state = "starting" }, 10 * S)
		assert.is_nil(quiet())
		assert.is_nil(silent())
	end)

	it("is unknown of one that says for ever that it starts: it may work on a cell whose beginning nobody heard", function()
		pass(14 * H, { state = "starting" })
		assert.is_nil(quiet())
		assert.is_nil(silent())
	end)

	it("is counted from its start where no client ever spoke to it", function()
		pass(14 * H)
		assert.are.equal(14 * H, quiet())
		assert.are.equal(14 * H, silent())
	end)

	it("is unknown once the server cannot be asked any more, for however long", function()
		pass(20 * H)
		assert.are.equal(20 * H, quiet())
		pass(2 * MIN, { state = "unknown", connections = -1 }, 10 * S)
		assert.is_nil(quiet())
		assert.is_nil(silent())
		assert.are.equal("unknown", kernel:state(at))
		pass(3 * D, { state = "unknown", connections = -1 }, MIN)
		assert.is_nil(quiet())
		pass(10 * S, nil, 10 * S)
		assert.are.equal(20 * H + 2 * MIN + 3 * D + 10 * S, quiet())
	end)

	it("sees processor time also while the server cannot be asked", function()
		pass(1 * H)
		pass(1 * H, { state = "unknown", share = 0.9 })
		pass(1 * MIN, nil, 10 * S)
		assert.are.equal(1 * MIN, silent())
	end)

	it("is unknown where the server does not tell of clients, or the box was measured once", function()
		pass(1 * H, { connections = -1 })
		assert.is_nil(quiet())
		kernel = t_idle.new()
		pass(10 * S, nil, 10 * S)
		assert.is_nil(quiet())
		pass(10 * S, nil, 10 * S)
		assert.is_number(quiet())
	end)

	it("is unknown where the box cannot be measured, whatever the server says", function()
		pass(3 * D, { cpu = -1 }, MIN)
		assert.is_nil(quiet())
		assert.is_nil(silent())
	end)

	it("is what the server says where it is trusted and nobody can measure: every activity is work there", function()
		base = { state = "idle", connections = 0, cpu = -1, trusted = true, started = T0 }
		pass(1 * H, { activity = T0 + 1 * MIN })
		assert.are.equal(59 * MIN, silent())
		assert.are.equal(59 * MIN, quiet())
		base.activity = at + 5 * S
		pass(10 * S, { connections = 1 }, 10 * S) -- what came with a new client may have been a cell
		assert.are.equal(5 * S, silent())
		assert.are.equal(0, quiet())
		pass(3 * H, { connections = 1 }, MIN)
		assert.are.equal(3 * H + 5 * S, silent())
		assert.are.equal(0, quiet())
		pass(1 * H, { state = "busy" })
		assert.are.equal(0, silent())
		pass(2 * MIN, { state = "unknown", connections = -1 }, 10 * S)
		assert.is_nil(silent())
	end)

	it("is counted until the last look at a server that is trusted, and not on into what nobody knows", function()
		base = { state = "idle", connections = 0, cpu = -1, trusted = true, started = T0, activity = T0 }
		pass(1 * H)
		assert.are.equal(1 * H, kernel:silent(at + 30 * S))
		assert.is_nil(kernel:silent(at + 2 * MIN))
	end)

	it("is measured again, and no longer trusted, once its process was found; unknown when it is lost", function()
		base = { state = "idle", connections = 0, cpu = -1, trusted = true, started = T0, activity = T0 }
		pass(1 * H)
		base.trusted, base.cpu = nil, nil
		pass(1 * MIN, { share = 0.5 }, 10 * S)
		assert.are.equal(0, silent())
		pass(1 * H)
		assert.are.equal(1 * H, silent())
		pass(1 * MIN, { cpu = -1 }, 10 * S)
		assert.is_nil(silent())
	end)

	it("is unknown of a kernel whose process is gone, though the server goes on telling that it idles", function()
		pass(1 * H)
		pass(1 * H, { state = "dead", cpu = -1 })
		assert.is_nil(quiet())
		assert.are.equal("dead", kernel:state(at))
	end)

	it("begins anew with a new process", function()
		pass(5 * H)
		base.started = at
		cpu = 500
		pass(1 * H)
		assert.are.equal(1 * H, quiet())
	end)

	it("goes on over a restart of the backend, and sees work that was done meanwhile", function()
		base.work = T0 + MIN
		pass(10 * H)
		kernel = kernel:kept()
		assert.is_nil(quiet())
		pass(10 * MIN, nil, 10 * MIN)
		assert.are.equal(10 * H + 9 * MIN, quiet())
		kernel = kernel:kept()
		pass(10 * MIN, { share = 0.5 }, 10 * MIN)
		pass(10 * S, nil, 10 * S)
		assert.are.equal(10 * S, quiet())
	end)

	it("believes no time that is still to come", function()
		pass(1 * H, { work = T0 + 40 * D })
		assert.are.equal(0, silent())
		base.work = 0
		pass(1 * H)
		assert.are.equal(1 * H, silent())
	end)

	it("takes looks that are close together for one, for the processor", function()
		pass(1 * H)
		for _ = 1, 20 do pass(1 * S, { cpu = cpu + 30 }, 1 * S) end
		assert.are.equal(1 * H + 20 * S, silent())
	end)
end)
