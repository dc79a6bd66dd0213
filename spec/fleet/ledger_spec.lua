-- The ledger: each decision exactly in a segment, equal ones folded into a row; bounded in every direction, and never in the way.
local helper = require "spec.helper"
local t_ledger = require "t_ledger"
local t_words = require "t_words"

local IDLE = { word = "rule", name = "idle kernels", source = "policies/30-rules.lua:4", kind = "kernel", subject = "fek-1", answer = "keep",
	reason = "idle for 1 h", inputs = '{"idle":3600}', threshold = "idle > 2h" }

local function with(changes)
	local out = {}
	for k, v in pairs(IDLE) do out[k] = v end
	for k, v in pairs(changes) do out[k] = v end
	return out
end

describe("the ledger", function()
	local dir, l, is_mounted

	before_each(function()
		dir = os.tmpname()
		os.remove(dir)
		assert(os.execute("mkdir -m 700 " .. dir))
	end)

	after_each(function()
		if l then l:close() end
		l = nil
		if is_mounted then os.execute("umount " .. is_mounted) end
		is_mounted = nil
		os.execute("rm -rf " .. dir)
	end)

	local function open(config)
		config = config or {}
		config.dir = dir .. "/ledger"
		local why
		l, why = t_ledger.open(dir .. "/dss.sqlite", config)
		assert(l, why)
		return l
	end

	local function rows(query) return t_words.parse(assert(l:read(query or {}))) end

	local function files()
		local out, p = {}, io.popen("ls " .. dir .. "/ledger | sort -V")
		for name in p:lines() do out[#out + 1] = name end
		p:close()
		return out
	end

	--- All lines of all segments, parsed, without the heads.
	local function lines()
		local out = {}
		for _, name in ipairs(files()) do
			for line in io.lines(dir .. "/ledger/" .. name) do
				local row = t_words.parse(line)
				if not row.segment then out[#out + 1] = row end
			end
		end
		return out
	end

	it("tells what was noted, newest first, before and after it is on disk", function()
		open()
		l:note(IDLE)
		l:note(with { subject = "fek-2", answer = "retire", outcome = "done", mode = "notify", owner = "ann" })
		for _ = 1, 2 do
			local got = rows()
			assert.equal(2, #got)
			assert.equal("fek-2", got[1].subject)
			assert.equal("done", got[1].outcome)
			assert.equal("notify", got[1].mode)
			assert.equal("ann", got[1].owner)
			local first = got[2]
			assert.truthy(first.at > 1e12 and first.at == first.firstAt)
			first.at, first.firstAt = nil, nil
			assert.same({ seq = 1, count = 1, word = "rule", name = "idle kernels", source = "policies/30-rules.lua:4", subjectKind = "kernel",
				subject = "fek-1", answer = "keep", reason = "idle for 1 h", threshold = "idle > 2h", mode = "act", inputs = { idle = 3600 },
				outcome = "nothing", version = 0 }, first)
		end
	end)

	it("folds equal decisions into one row with their count, and the last inputs and reason", function()
		open()
		for i = 1, 30 do
			l:note(with { inputs = '{"idle":' .. i .. "}", reason = "idle for " .. i .. " s" })
			if i % 10 == 0 then rows() end -- three flushes
		end
		local got = rows()
		assert.equal(1, #got)
		assert.equal(30, got[1].count)
		assert.equal(30, got[1].seq)
		assert.equal(30, got[1].inputs.idle)
		assert.equal("idle for 30 s", got[1].reason)
		assert.equal(29, l:stats().folded)
	end)

	it("shows nobody what was read for another one's decision, however equal they are", function()
		open()
		l:note(IDLE)
		rows()
		for _ = 1, 2 do
			l:note(with { owner = "ann", inputs = '{"user":"ann","project":"SECRET"}' })
			l:note(with { owner = "bob", inputs = '{"user":"bob"}' })
			rows()
		end
		for login, wanted in pairs { ann = 2, bob = 2, eve = 1 } do
			local got = rows { login = login }
			assert.equal(wanted, #got)
			for _, row in ipairs(got) do assert.truthy(row.inputs.user == nil or row.inputs.user == login, login) end
		end
		assert.equal(3, #rows())
	end)

	it("folds thousands of subjects side by side", function()
		open()
		for _ = 1, 3 do
			l:many(6000, 2000)
			rows { limit = 1 }
		end
		assert.equal(2000, l:stats().rows)
		assert.same({ "2000", "18000" }, t_words.sql(dir .. "/dss.sqlite", "SELECT count(*) FROM decision UNION ALL SELECT sum(count) FROM decision"))
	end)

	it("parts what differs in word, name, source, subject, answer, outcome, mode or version", function()
		open()
		for _, key in ipairs { "word", "name", "source", "kind", "subject", "answer", "outcome", "mode" } do l:note(with { [key] = "other" }) end
		l:version(7)
		l:note(IDLE)
		l:version(0)
		for _ = 1, 3 do l:note(IDLE) end
		local got = rows()
		assert.equal(10, #got)
		assert.equal(3, got[1].count)
		assert.equal(7, got[2].version)
	end)

	it("keeps every decision exactly, one line each, whatever its texts hold", function()
		open()
		for i = 1, 50 do l:note(with { inputs = '{"idle":' .. i .. ',\n"text":"a\\nb"}', reason = 'a "quoted"\nreason \255' }) end
		rows()
		local got = lines()
		assert.equal(50, #got)
		assert.equal(17, got[17].seq)
		assert.same({ idle = 17, text = "a\nb" }, got[17].inputs)
		assert.equal('a "quoted"\nreason \u{FFFD}', got[17].reason)
		assert.equal("600", io.popen("stat -c %a " .. dir .. "/ledger/*.jsonl"):read "l")
		assert.equal("700", io.popen("stat -c %a " .. dir .. "/ledger"):read "l")
	end)

	it("takes what became of a decision, also when that is known after it was written", function()
		open()
		local now = l:note(IDLE)
		l:outcome(now, "done")
		local later = l:note(with { subject = "fek-2" })
		assert.equal("done", rows { subject = "fek-1" }[1].outcome)
		l:outcome(later, "failed", "the kernel has gone")
		l:note(with { subject = "fek-3" })
		local got = rows { subject = "fek-2" }[1]
		assert.equal("failed", got.outcome)
		assert.equal("the kernel has gone", got.outcomeText)
		local exact = lines()
		assert.equal(later, exact[4].of)
		assert.equal("failed", exact[4].outcome)
		assert.equal("the kernel has gone", exact[4].reason)
	end)

	it("keeps folding what is equal whose outcomes come one by one", function()
		open()
		for i = 1, 4 do
			l:outcome(l:note(IDLE), i == 4 and "failed" or "done")
			if i % 2 == 0 then rows() end
		end
		local got = rows()
		assert.equal(1, #got)
		assert.equal(4, got[1].count)
		assert.equal("failed", got[1].outcome)
	end)

	it("is asked by word, name, subject, outcome and page", function()
		open()
		l:note(IDLE)
		l:note(with { word = "recycle", name = "fek", mode = "simulate", outcome = "would", answer = "retire" })
		l:note(with { subject = "ann", kind = "user" })
		l:note(with { subject = "ann", kind = "project" })
		assert.equal("recycle", rows { word = "recycle" }[1].word)
		assert.equal(1, #rows { name = "fek" })
		assert.equal(2, #rows { subject = "ann" })
		assert.equal("user", rows { subject = "ann", kind = "user" }[1].subjectKind)
		assert.equal("would", rows { would = 1 }[1].outcome)
		assert.equal(1, #rows { would = 1 })
		local page = rows { limit = 3 }
		assert.equal(3, #page)
		assert.equal("fek-1", rows { before = page[3].seq }[1].subject)
		assert.equal(0, #rows { before = 1 })
		assert.equal(0, #rows { subject = "nobody" })
	end)

	it("shows a user what is everybody's and the user's own", function()
		open()
		l:note(IDLE)
		l:note(with { subject = "a", owner = "ann" })
		l:note(with { subject = "b", owner = "bob" })
		l:note(with { subject = "c", owner = "admin" })
		local got = rows { login = "ann" }
		assert.equal(2, #got)
		assert.equal("a", got[1].subject)
		assert.equal("fek-1", got[2].subject)
		assert.equal(1, #rows { login = "admin" })
		assert.equal(4, #rows())
	end)

	it("goes on counting after a restart, in a segment of its own", function()
		open()
		for _ = 1, 5 do l:note(IDLE) end
		l:close()
		open()
		assert.equal(6, l:note(IDLE))
		local got = rows()
		assert.equal(2, #got)
		assert.equal(1, got[1].count)
		assert.equal(5, got[2].count)
		assert.same({ "1-1.jsonl", "2-1.jsonl" }, files())
	end)

	it("writes what was noted before an orderly end", function()
		open()
		l:note(IDLE)
		l:close()
		assert.equal(1, #lines())
		assert.same({ "1" }, t_words.sql(dir .. "/dss.sqlite", "SELECT count FROM decision"))
	end)

	it("cuts texts that are too long between characters, and leaves out inputs that are", function()
		open()
		l:note(with { reason = ("ä"):rep(3000), inputs = '{"x":"' .. ("y"):rep(17000) .. '"}', name = ("n"):rep(500) })
		local got = rows()[1]
		assert.equal(("ä"):rep(1000), got.reason)
		assert.is_nil(got.inputs)
		assert.equal(128, #got.name)
	end)

	it("rolls its segments by size, and removes the oldest beyond the window's bytes", function()
		open { window_bytes = 20 << 20 }
		for _ = 1, 8 do
			l:many(20000, 10)
			rows { limit = 1 }
		end
		local s = l:stats()
		assert.truthy(s.segment_bytes <= 20 << 20, s.segment_bytes)
		assert.truthy(s.segments >= 2 and s.segments <= 3, s.segments)
		assert.equal(s.segments, #files())
		assert.not_equal("1-1.jsonl", files()[1])
		assert.equal(0, s.lost)
	end)

	it("removes segments that are older than the window, and never the open one", function()
		open()
		l:note(IDLE)
		rows()
		l:close()
		os.execute("touch -d '2 hours ago' " .. dir .. "/ledger/*")
		open { window_ms = 3600 * 1000 }
		l:note(IDLE)
		rows()
		assert.same({ "2-1.jsonl" }, files())
	end)

	it("thins out rows by age and by number, oldest first", function()
		open { keep_rows = 100 }
		for i = 1, 300 do l:note(with { subject = "fek-" .. i }) end
		local got = rows { limit = 1000 }
		assert.equal(100, #got)
		assert.equal("fek-300", got[1].subject)
		assert.equal("fek-201", got[100].subject)
		assert.equal(100, l:stats().rows)
	end)

	it("keeps to the number of rows however many come", function()
		open { keep_rows = 1000 }
		for i = 1, 5 do
			l:many(6000, 6000)
			rows { limit = 1 }
			assert.truthy(l:stats().rows <= 1000, i)
		end
		assert.same({ "1000" }, t_words.sql(dir .. "/dss.sqlite", "SELECT count(*) FROM decision"))
	end)

	it("thins out no more than it has to where others removed rows meanwhile", function()
		open { keep_rows = 100 }
		for i = 1, 100 do l:note(with { subject = "fek-" .. i }) end
		rows { limit = 1 }
		assert(t_words.sql(dir .. "/dss.sqlite", "DELETE FROM decision WHERE subject <> 'fek-7'"))
		for i = 1, 60 do l:note(with { subject = "jek-" .. i }) end
		assert.equal(61, #rows { limit = 1000 })
	end)

	it("of a broken folder is refused with its name", function()
		helper.write(dir .. "/ledger", "no folder")
		local none, why = t_ledger.open(dir .. "/dss.sqlite", { dir = dir .. "/ledger" })
		assert.is_nil(none)
		assert.truthy(why:find(dir .. "/ledger", 1, true), why)
	end)

	it("counts what it had to drop once too much waits for the disk, and goes on", function()
		open()
		l:many(300000, 10) -- nothing is flushed meanwhile
		assert.equal(0, l:note(IDLE))
		local lost = l:stats().lost
		assert.truthy(lost > 0)
		rows { limit = 1 }
		assert.truthy(l:note(IDLE) > 0)
		rows { limit = 1 }
		assert.equal(lost, l:stats().lost)
	end)

	it("on a disk that is full for the store too loses both copies, leaves the store whole, and recovers", function()
		if not os.execute("mount -t tmpfs -o size=3m,mode=700 none " .. dir .. " 2>/dev/null") then return pending "this machine lets nobody mount" end
		is_mounted = dir
		open()
		l:note(IDLE)
		rows()
		os.execute("head -c 10000000 /dev/zero > " .. dir .. "/filler 2>/dev/null")
		for i = 1, 3000 do l:note(with { subject = "fek-" .. i, reason = ("x"):rep(400) }) end
		l:flush()
		helper.wait_for("an alert", function()
			l:turn()
			return l:alerts() ~= "[]"
		end)
		assert.equal(3000, l:stats().lost)
		os.remove(dir .. "/filler")
		l:note(with { subject = "jek-1" })
		assert.equal("jek-1", rows()[1].subject)
		assert.equal("[]", l:alerts())
		l:close()
		assert.same({ "ok" }, t_words.sql(dir .. "/dss.sqlite", "PRAGMA integrity_check"))
		open()
		assert.truthy(l:note(IDLE) > 3001)
	end)

	it("on a full disk drops, counts, raises an alert, and recovers; no line is torn", function()
		assert(os.execute("mkdir " .. dir .. "/ledger"))
		if not os.execute("mount -t tmpfs -o size=256k,mode=700 none " .. dir .. "/ledger 2>/dev/null") then
			return pending "this machine lets nobody mount"
		end
		is_mounted = dir .. "/ledger"
		open()
		l:note(IDLE)
		rows()
		assert.equal("[]", l:alerts())
		os.execute("head -c 1000000 /dev/zero > " .. dir .. "/ledger/filler 2>/dev/null")
		l:many(2000, 10)
		rows()
		local s = l:stats()
		assert.equal(2000, s.lost)
		local alert = t_words.parse(l:alerts())[1]
		assert.equal("ledger", alert.key)
		assert.truthy(alert.text:find("No space left on device", 1, true) and alert.text:find("2000 are lost", 1, true), alert.text)
		os.remove(dir .. "/ledger/filler")
		l:note(with { subject = "fek-2" })
		rows()
		assert.equal("[]", l:alerts())
		assert.equal(2000, l:stats().lost)
		local got = lines()
		assert.equal("fek-2", got[#got].subject)
	end)
end)
