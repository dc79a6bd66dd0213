-- Logs that lie in jobs/: the whole list comes, piece by piece, whatever goes meanwhile.
require "spec.helper"
local Told = require "spec.fleet.told"
local joblog = require "t_joblog"
local json = require "t_json"

describe("the list of logs of jobs", function()
	local dir
	before_each(function()
		dir = Told.folder()
		assert(os.execute(("mkdir %s/jobs"):format(dir)))
	end)
	local function fill(projects, n)
		assert(os.execute(("cd %s/jobs && for p in %s; do mkdir $p && cd $p && seq -f 'j%%04g' 1 %d | xargs mkdir && cd ..; done"):format(dir, projects, n)))
	end
	after_each(function() os.execute("rm -rf " .. dir) end)

	--- All of it; between(n) is called after each piece.
	local function all(project, between)
		local out, seen, after, pieces = {}, {}, "", 0
		repeat
			local text, following, why = joblog.list(dir, project, after)
			assert(text, why)
			for _, row in ipairs(json.decode(text)) do
				assert.is_nil(seen[row.id], row.id)
				seen[row.id] = true
				out[#out + 1] = row
			end
			pieces, after = pieces + 1, following
			if between then between(pieces) end
		until not after
		return out, seen, pieces
	end

	it("is whole, by name, in pieces", function()
		fill("B A C", 700)
		local out, seen, pieces = all()
		assert.are.same({ 2100, 3 }, { #out, pieces })
		assert.are.same({ "A/j0001", "C/j0700" }, { out[1].id, out[#out].id })
		assert.is_true(seen["B/j0301"])
		assert.are.same({ 700, 1 }, { #all "B", select(3, all "B") })
	end)
	it("misses none because others went between two pieces, the last one of a piece with them", function()
		fill("B A C", 700)
		local _, seen = all(nil, function(n)
			if n == 1 then os.execute(("rm -rf %s/jobs/A %s/jobs/B/j00?? %s/jobs/B/j0[123]??"):format(dir, dir, dir)) end
		end)
		for i = 1, 700 do assert.is_true(seen[("C/j%04d"):format(i)], i) end
		for i = 400, 700 do assert.is_true(seen[("B/j%04d"):format(i)], i) end
	end)
	it("ends with a piece that is full", function()
		fill("B", 1000)
		local out, _, pieces = all()
		assert.are.same({ 1000, 1 }, { #out, pieces })
	end)
	it("passes over what is no folder of ours, and is empty where there is none", function()
		os.execute(("mkdir %s/jobs/P && ln -s / %s/jobs/P/link && touch %s/jobs/P/file && mkdir -m 777 %s/jobs/P/open"):format(dir, dir, dir, dir))
		assert.are.equal(0, #all())
		os.execute("rm -rf " .. dir .. "/jobs")
		assert.are.equal(0, #all())
	end)
end)
