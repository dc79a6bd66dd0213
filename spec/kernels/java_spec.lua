-- The Java kernel against the kernel protocol: the checks are in java_check.py, each is one line here.
local helper = require "spec.helper"
local tap = require "spec.kernels.tap"

-- Why there is nothing to check, or nil.
local function missing()
	if not os.execute("command -v java javac >/dev/null 2>&1") then return "no JDK here (package default-jdk-headless)" end
	if not helper.read("/usr/share/java/gson.jar") then return "no Gson here (package libgoogle-gson-java)" end
end

describe("the Java kernel", function()
	local reason = missing()
	if reason then
		pending(reason)
		return
	end
	local is_built = os.execute("sh kernels/java/build.sh '" .. helper.build .. "'")
	it("is built", function() assert.is_truthy(is_built) end)
	if is_built then tap.checks(it, "spec/kernels/java_check.py") end
end)
