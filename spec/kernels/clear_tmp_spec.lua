-- What clear-tmp looks at and removes, as a task of the run user does it: the checks are in clear_tmp_check.py.
local tap = require "spec.kernels.tap"

describe("clear-tmp", function() tap.checks(it, "spec/kernels/clear_tmp_check.py") end)
