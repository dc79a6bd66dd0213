-- sys/fileset: files of a folder as one set, all of it or nothing.
local helper = require "spec.helper"
local Instance = require "spec.instance"
local fileset = require "t_fileset"

local dir
local function sh(text, ...) assert(os.execute(("cd %s && " .. text):format(dir, ...))) end
local function list() return (Instance.run { "ls", "-A", dir }:gsub("%s+", " "):gsub(" $", "")) end
local function inode(name) return (Instance.run { "stat", "-c", "%i", dir .. "/" .. name }) end

describe("a set of files", function()
	before_each(function()
		dir = os.tmpname()
		os.remove(dir)
		assert(os.execute("mkdir " .. dir))
		helper.write(dir .. "/a.lua", "one")
		helper.write(dir .. "/b.lua", "two")
		helper.write(dir .. "/notes.txt", "stays")
	end)
	after_each(function() os.execute("rm -rf " .. dir) end)

	it("is read: plain files with the suffix, none with a dot in front", function()
		helper.write(dir .. "/.hidden.lua", "x")
		assert.same({ ["a.lua"] = "one", ["b.lua"] = "two" }, fileset.read(dir))
		sh "mkdir c.lua"
		local set, why = fileset.read(dir)
		assert.is_nil(set)
		assert.equal("unable to read c.lua: it is no plain file", why)
	end)

	it("tells what differs", function()
		assert.same({ 3, "a.lua, c.lua, b.lua" }, { fileset.differ({ ["a.lua"] = "1", ["c.lua"] = "" }, { ["a.lua"] = "2", ["b.lua"] = "" }) })
		assert.same({ 0, "" }, { fileset.differ({ ["a.lua"] = "1" }, { ["a.lua"] = "1" }) })
	end)

	it("becomes another one: replaced, added, removed, and what is the same is left alone", function()
		local before = inode "b.lua"
		assert.is_true(fileset.write(dir, { ["a.lua"] = "new", ["b.lua"] = "two", ["d.lua"] = "more" }))
		assert.same({ ["a.lua"] = "new", ["b.lua"] = "two", ["d.lua"] = "more" }, fileset.read(dir))
		assert.equal(before, inode "b.lua")
		assert.equal("a.lua b.lua d.lua notes.txt", list())
		assert.is_true(fileset.write(dir, {}))
		assert.equal("notes.txt", list())
	end)

	it("keeps what went in a folder, where that is asked for", function()
		assert.is_true(fileset.write(dir, { ["a.lua"] = "new" }, ".before"))
		assert.equal(".before a.lua notes.txt", list())
		assert.same({ ["a.lua"] = "one", ["b.lua"] = "two" }, fileset.read(dir .. "/.before"))
	end)

	it("is left alone where what goes cannot be kept", function()
		sh "mkdir .before"
		local ok, why = fileset.write(dir, { ["a.lua"] = "new" }, ".before")
		assert.is_nil(ok)
		assert.equal("unable to make .before for what is there: File exists", why)
		assert.equal(".before a.lua b.lua notes.txt", list())
		assert.same({ ["a.lua"] = "one", ["b.lua"] = "two" }, fileset.read(dir))
	end)

	local function kept(...)
		for _, name in ipairs { ... } do
			sh("mkdir %s", name)
			helper.write(("%s/%s/a.lua"):format(dir, name), "old")
		end
	end

	it("is kept the last few times: what was kept before goes, the oldest first", function()
		local day = ".before-20261122-"
		kept(day .. "081500", day .. "081500-2", day .. "081500-10", day .. "081501", ".before-20251231-235959")
		assert.equal(0, fileset.drop_kept(dir, 5))
		assert.equal(2, fileset.drop_kept(dir, 3))
		assert.equal(("%s081500-10 %s081500-2 %s081501 a.lua b.lua notes.txt"):format(day, day, day), list())
		-- the one that was just made stays, also where the clock went back meanwhile
		kept ".before-19700101-000000"
		assert.equal(2, fileset.drop_kept(dir, 2, ".before-19700101-000000"))
		assert.equal((".before-19700101-000000 %s081501 a.lua b.lua notes.txt"):format(day), list())
	end)

	it("is kept where it is somebody's own: a link is not followed, other names and folders with more in them stay", function()
		local day = ".before-20261122-0815"
		kept(day .. "01", day .. "02", day .. "03", day .. "04", ".before-mine", ".before-20261122-081501x", ".before")
		sh "mkdir precious && echo x >precious/a.lua"
		sh("ln -s precious %s00", day)
		sh("rm %s01/a.lua && ln -s ../precious/a.lua %s01/a.lua", day, day)
		sh("mkdir %s02/more.lua", day)
		sh("echo x >%s03/notes.txt", day)
		local before = list()
		assert.equal(1, fileset.drop_kept(dir, 0))
		assert.equal((before:gsub(" %" .. day:gsub("%-", "%%-") .. "04", "")), list())
		assert.equal("x\n", helper.read(dir .. "/precious/a.lua"))
		assert.equal("old", helper.read(dir .. "/" .. day .. "03/a.lua"))
	end)

	it("is kept under a name that nothing has", function()
		local seen = {}
		for i = 1, 3 do
			local name = fileset.keep_name(dir)
			assert.truthy(name:find "^%.before%-%d+%-%d+")
			assert.is_nil(seen[name])
			seen[name] = true
			assert.is_true(fileset.write(dir, { ["a.lua"] = "new" .. i }, name))
		end
	end)

	it("has no file put in the place of a link: what that leads to would not be read any more", function()
		sh "mkdir d; mv b.lua d; ln -s d/b.lua b.lua"
		assert.same({ ["a.lua"] = "one", ["b.lua"] = "two" }, fileset.read(dir))
		for _, want in ipairs { { ["a.lua"] = "new" }, { ["a.lua"] = "new", ["b.lua"] = "new" } } do
			local ok, why = fileset.write(dir, want)
			assert.is_nil(ok)
			assert.equal("unable to replace b.lua: it is a link; change what it leads to", why)
		end
		assert.equal("a.lua b.lua d notes.txt", list())
		assert.equal("one", helper.read(dir .. "/a.lua"))
		assert.is_true(fileset.write(dir, { ["a.lua"] = "new", ["b.lua"] = "two" }))
	end)

	it("is as it was where one file cannot be put in place", function()
		local now = fileset.read(dir)
		sh "mkdir z.lua" -- comes between reading and writing
		local ok, why = fileset.write(dir, { ["a.lua"] = "new", ["c.lua"] = "more", ["z.lua"] = "last" }, ".before", now)
		assert.is_nil(ok)
		assert.equal("unable to replace z.lua: File exists", why)
		assert.equal("a.lua b.lua notes.txt z.lua", list())
		assert.equal("one", helper.read(dir .. "/a.lua"))
		assert.equal("two", helper.read(dir .. "/b.lua"))
		sh "rmdir z.lua; rm b.lua"
		ok, why = fileset.write(dir, { ["a.lua"] = "new", ["c.lua"] = "more" }, nil, now)
		assert.is_nil(ok)
		assert.equal("unable to take away b.lua: No such file or directory", why)
		assert.equal("a.lua notes.txt", list())
		assert.equal("one", helper.read(dir .. "/a.lua"))
	end)
end)
