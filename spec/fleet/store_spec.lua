-- The store: what was acknowledged survives, what a newer program wrote is refused, a full or failing disk is told truly.
local helper = require "spec.helper"
local t_fleet = require "t_fleet"
local t_words = require "t_words"

describe("the store", function()
	local dir, path, f, is_mounted, seen

	before_each(function()
		seen = {}
		dir = os.tmpname()
		os.remove(dir)
		assert(os.execute("mkdir -m 700 " .. dir))
		path = dir .. "/dss.sqlite"
	end)

	after_each(function()
		if f then f:close() end
		f = nil
		if is_mounted then os.execute("umount " .. dir) end
		is_mounted = nil
		os.execute("rm -rf " .. dir)
	end)

	local function open()
		local why
		f, why = t_fleet.open(path)
		assert(f, why)
		assert(f:set_pools { { name = "fek" } })
		return f
	end

	local function line(start)
		return helper.wait_for(start, function()
			f:turn()
			for _, l in ipairs(f:lines()) do seen[#seen + 1] = l end
			for i, l in ipairs(seen) do
				if l:sub(1, #start) == start then return table.remove(seen, i) end
			end
			return nil, table.concat(seen, "; ")
		end, 10)
	end

	it("has WAL, and makes the documented tables", function()
		open()
		assert.same({ "wal" }, t_words.sql(path, "PRAGMA journal_mode"))
		assert.same({ "activity", "dataset", "decision", "fact", "key", "meta", "notebook", "policy_version", "project_setting", "task", "usage", "usage_open",
			"webapp" }, t_words.sql(path, "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"))
		local text = helper.read("docs/architecture.md"):match("## The store.-```sql\n(.-)```")
		for tbl, body in text:gmatch("CREATE TABLE (%w+) (%b())") do
			local documented, real = {}, t_words.sql(path, "SELECT name FROM pragma_table_info('" .. tbl .. "')")
			for part in (body:sub(2, -2):gsub("%-%-[^\n]*", ""):gsub("%b()", "") .. ","):gmatch("%s*(.-),") do
				documented[#documented + 1] = part:match("^[%l_]+")
			end
			assert.same(documented, real)
		end
	end)

	it("counts the epoch up at each opening", function()
		open()
		f:close()
		open()
		assert.same({ "2" }, t_words.sql(path, "SELECT value FROM meta WHERE name = 'epoch'"))
	end)

	it("of a newer program is refused with both numbers", function()
		open()
		f:close()
		assert(t_words.sql(path, "UPDATE meta SET value = 77 WHERE name = 'schema'"))
		local none, why = t_fleet.open(path)
		f = nil
		assert.is_nil(none)
		assert.matches("its schema is 77, this program knows up to %d+", why)
	end)

	it("that is no database is refused, and left as it is", function()
		helper.write(path, ("no database\n"):rep(100))
		local none, why = t_fleet.open(path)
		assert.is_nil(none)
		assert.truthy(why:find(path, 1, true) and why:find("not a database", 1, true), why)
		assert.equal(("no database\n"):rep(100), helper.read(path))
	end)

	it("takes up the open tasks of the former run, oldest first", function()
		open()
		local ids = {}
		for i = 1, 3 do
			assert.equal("ok", (f:submit { title = "task " .. i }))
			ids[i] = line("submitted "):match("^submitted (%S+)")
		end
		f:close()
		open()
		for i = 1, 3 do
			local s = t_words.parse(assert(f:get(ids[i])))
			assert.equal("queued", s.state)
			assert.equal(i, s.position)
			assert.equal("task " .. i, s.payload.displayName)
		end
	end)

	it("keeps every task that was acknowledged when the backend is killed right then", function()
		local script = ([[
			local helper = require "spec.helper"
			local t_fleet = require "t_fleet"
			local f = assert(t_fleet.open(%q))
			assert(f:set_pools { { name = "fek" } })
			for i = 1, 200 do assert(f:submit { title = "t" .. i } == "ok") end
			local n = 0
			helper.wait_for("acknowledgements", function()
				f:turn()
				for _, l in ipairs(f:lines()) do
					local id = l:match("^submitted (%%S+)")
					if id then io.stdout:write(id, "\n") n = n + 1 end
				end
				if n >= 50 then io.stdout:flush() t_fleet.die() end
			end)
		]]):format(path)
		helper.write(dir .. "/child.lua", script)
		local p = assert(io.popen("DSS_BUILD=" .. helper.build .. ' LD_PRELOAD="$DSS_SAN_PRELOAD" exec lua5.4 ' .. dir .. "/child.lua 2>&1"))
		local ids = {}
		for id in p:lines() do ids[#ids + 1] = id end
		p:close()
		assert.is_true(#ids >= 50, "the child said: " .. (ids[1] or "nothing"))
		open()
		for _, id in ipairs(ids) do assert.truthy(f:get(id), id .. " was acknowledged and is gone") end
	end)

	it("lets its log grow ahead of what is written, so that a commit does not change the file's length", function()
		open()
		local function length()
			local file = assert(io.open(path .. "-wal"))
			local n = file:seek "end"
			file:close()
			return n
		end
		local function submit()
			assert.equal("ok", (f:submit {}))
			return line("submitted "):match("^submitted (%S+)")
		end
		submit()
		local before = length()
		assert.is_true(before >= 1 << 20)
		local ids = {}
		for i = 1, 5 do ids[i] = submit() end
		assert.equal(before, length())
		-- a copy as a crash would leave it: what follows the last commit in the log counts for nothing
		assert(os.execute(("mkdir %s/copy && cp %s %s-wal %s/copy/"):format(dir, path, path, dir)))
		assert.same({ "6" }, t_words.sql(dir .. "/copy/dss.sqlite", "SELECT count(*) FROM task"))
		for _, id in ipairs(ids) do assert.truthy(f:get(id)) end
	end)

	it("refuses submits while the disk is full, keeps a finished task's result, and goes on when there is room", function()
		if not os.execute("mount -t tmpfs -o size=8m tmpfs " .. dir .. " 2>/dev/null") then
			pending("needs the right to mount a small disk")
			return
		end
		is_mounted = true
		open()
		f:start()
		local k = line("spawn "):match("^spawn (%S+)")
		assert(f:ready(k))
		assert.equal("ok", (f:submit {}))
		local id = line("submitted "):match("^submitted (%S+)")
		line("send ")
		assert(os.execute("dd if=/dev/zero of=" .. dir .. "/filler bs=4k 2>/dev/null; true"))
		local big = '{"x":"' .. ("y"):rep(3000000) .. '"}'
		assert.equal("ok", (f:submit { payload = big }))
		assert.truthy(line("unavailable "):find("full", 1, true))
		f:tell("done", k, id, 1, '"' .. ("z"):rep(3000000) .. '"')
		for _ = 1, 20 do f:turn() end
		assert.is_false(t_words.parse(assert(f:get(id))).hasResult)
		assert(os.remove(dir .. "/filler"))
		line("release ")
		assert.is_true(t_words.parse(assert(f:get(id))).hasResult)
	end)

	it("acknowledges an end of the keeper's only once its fact is written, also where the disk was full meanwhile", function()
		if not os.execute("mount -t tmpfs -o size=2m tmpfs " .. dir .. " 2>/dev/null") then
			pending("needs the right to mount a small disk")
			return
		end
		is_mounted = true
		open()
		f:start()
		assert(os.execute("dd if=/dev/zero of=" .. dir .. "/filler bs=4k 2>/dev/null; true"))
		local open_ends, more = {}, 0
		local function look()
			f:turn()
			for _, l in ipairs(f:lines()) do
				local id = l:match("^acknowledge (%S+)")
				if id and open_ends[id] then open_ends[id], more = nil, more - 1 end
			end
		end
		for n = 1, 600 do
			local id = "gone-" .. n
			open_ends[id], more = true, more + 1
			f:ended { id = id, cause = "crash", text = ("x"):rep(500), code = 1 }
		end
		for _ = 1, 20 do look() end
		assert.is_true(more > 0, "the disk was not full")
		assert(os.remove(dir .. "/filler"))
		helper.wait_for("all acknowledgements", function()
			look()
			return more == 0, more
		end)
		f:close()
		local p = assert(io.popen("sqlite3 " .. path .. " \"SELECT count(*) FROM fact WHERE what = 'process.exited'\" 2>/dev/null || true"))
		local count = p:read("a"):match("%d+")
		p:close()
		if count then assert.equal("600", count) end
		open()
	end)
end)
