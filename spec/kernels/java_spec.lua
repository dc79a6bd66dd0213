-- The Java kernel against the kernel protocol, its client against a fake node: the checks are in java_check.py and
-- java_client_check.py, each is one line here.
local helper = require "spec.helper"
local tap = require "spec.kernels.tap"

-- Why there is nothing to check, or nil.
local function missing()
	if not os.execute("command -v java javac >/dev/null 2>&1") then return "no JDK here (package default-jdk-headless)" end
	if not helper.read("/usr/share/java/gson.jar") then return "no Gson here (package libgoogle-gson-java)" end
end

describe("the Java runtime", function()
	local reason = missing()
	if reason then
		pending(reason)
		return
	end
	local is_built = os.execute("env -u LD_PRELOAD sh kernels/java/build.sh '" .. helper.build .. "'")
	it("is built", function() assert.is_truthy(is_built) end)
	if not is_built then return end
	tap.checks(it, "spec/kernels/java_check.py")
	describe("client", function() tap.checks(it, "spec/kernels/java_client_check.py") end)
end)
