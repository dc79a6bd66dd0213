-- The Java job kernel against a fake backend: the checks are in java_job_check.py, each is one line here.
local helper = require "spec.helper"
local tap = require "spec.kernels.tap"

describe("the Java job kernel", function()
	if not os.execute("command -v java javac >/dev/null 2>&1") or not helper.read("/usr/share/java/gson.jar") then
		pending("no JDK or no Gson here (packages default-jdk-headless, libgoogle-gson-java)")
		return
	end
	local is_built = os.execute("env -u LD_PRELOAD sh kernels/java/build.sh '" .. helper.build .. "'")
	it("is built", function() assert.is_truthy(is_built) end)
	if is_built then tap.checks(it, "spec/kernels/java_job_check.py") end
end)
