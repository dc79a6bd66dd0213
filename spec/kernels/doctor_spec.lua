-- The kernel of ML training against the kernel protocol, with real scikit-learn: the checks are in doctor_check.py.
local tap = require "spec.kernels.tap"

describe("the kernel of ML training", function()
	if not os.execute "/usr/bin/python3 -c 'import sklearn' 2>/dev/null" then
		return pending "Debian's python3-sklearn is not installed"
	end
	tap.checks(it, "spec/kernels/doctor_check.py")
end)
