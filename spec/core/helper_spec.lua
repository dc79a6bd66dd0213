-- Programs that the backend runs beside itself: what they say, and how they end.
require "spec.helper"
local helper = require "t_helper"

local function sh(script, time_ms, ends) return helper.run({ "sh", "-c", script }, time_ms or 60000, ends) end

describe("a helper", function()
	it("may say more than a pipe holds: the first line is why it failed", function()
		assert.same({ false, "the disk is full" }, { sh "echo the disk is full >&2; head -c 1000000 /dev/zero | tr '\\0' x >&2; exit 1" })
		assert.same({ true, "" }, { sh "head -c 1000000 /dev/zero >&2" })
	end)
	it("that failed says so without a word, too, and with its standard error closed", function()
		assert.same({ false, "its process failed without a word" }, { sh "exit 3" })
		assert.same({ false, "its process failed without a word" }, { sh "exec 2>&-; sleep 0.1; exit 3" })
		assert.same({ false, "its process was killed by signal 15" }, { sh "kill -TERM $$" })
	end)
	it("ends by itself where a child of its own goes on writing", function()
		assert.same({ false, "here" }, { sh "echo here >&2; (while echo x; do :; done >&2) & child=$!; (sleep 1; kill $child) >/dev/null 2>&1 & exit 1" })
	end)
	it("ends with its time, and with the wish of who started it", function()
		assert.same({ false, "it took too long" }, { sh("sleep 600", 50) })
		assert.same({ false, "ended" }, { sh("sleep 600", 60000, true) })
	end)
end)
