-- The Python client (import dss) against a fake node: the checks are in client_check.py, each is one line here.
local tap = require "spec.kernels.tap"

describe("the Python client", function()
	tap.checks(it, "spec/kernels/client_check.py")
end)
