-- Recipes in R, and on Spark: real interpreters; spark-submit itself is a stand-in that starts a real JVM and a real Python or R below it.
local helper = require "spec.helper"
local Instance = require "spec.instance"
local Work = require "spec.daemon.recipe_work"

if not Work.has_java then
	describe("recipes in other languages", function() pending "there is no JDK" end)
	return
end
local has_r = os.execute "command -v Rscript >/dev/null"

local work, bin
local function open()
	if work then return end
	bin = Instance.folder()
	assert(os.execute(("javac -d %s spec/daemon/spark/SparkSubmit.java"):format(bin)))
	helper.write(bin .. "/spark-submit", ('#!/bin/sh\nexec java -Xmx512m -XX:+UseSerialGC -cp %s SparkSubmit "$@"\n'):format(bin))
	os.execute(("chmod 755 %s/spark-submit"):format(bin))
	work = Work.new()
end

local GATEWAY = [[
import os, socket, sys
s = socket.create_connection(("127.0.0.1", int(os.environ["PYSPARK_GATEWAY_PORT"])))
f = s.makefile("rw", encoding="utf-8")
def ask(text):
    f.write(text + "\n"); f.flush()
    return f.readline().strip()
f.write(os.environ["PYSPARK_GATEWAY_SECRET"] + "\n")
]]

describe("a spark recipe", function()
	setup(open)
	after_each(function() work:is_quiet() end)

	--- name → true of all who live in that box
	local function names_of(row)
		local names = {}
		for _, m in ipairs(row.members) do names[m.name] = m end
		return names
	end

	it("is a JVM and a Python in one box, both shown, with what Spark is told", function()
		work:project("SPARK", ([[
project { recipes = { count = spark { script = "recipes/count.py", bin = "%s/spark-submit", master = "local[2]", jars = { "lib/a.jar", "lib/b.jar" },
  conf = { "spark.driver.memory=100m", "spark.app.name=a b, c" }, args = { "--of", "raw" }, inputs = { "raw" }, outputs = { "n" }, limits = { memory = "1g" } } } }]])
			:format(bin), { ["data/raw/rows"] = "a\nb\nc\n", ["lib/a.jar"] = "", ["lib/b.jar"] = "", ["recipes/count.py"] = GATEWAY .. [[
n = ask("count data/raw/rows")
print("begun", sys.argv[1:], ask("conf spark.app.name"), os.environ["DKU_CURRENT_PROJECT_KEY"], os.environ["DSS_RECIPE"], flush=True)
while not os.path.exists("data/raw/go"):
    import time; time.sleep(0.02)
open("data/n/n", "w").write(n)
]] })
		local job = work:start("SPARK", "n")
		work:begun("SPARK", job)
		local row = assert(work:recipes()[1])
		local names = names_of(row)
		assert.are.same({ "spark", "count_NP" }, { row.recipeType, row.activityId })
		assert.truthy(names.java and names.python3, require "t_json".encode(row))
		assert.are.equal(names.java.pid, names.python3.parentPid)
		assert.truthy(names.java.memoryBytes > (8 << 20) and names.java.cpuSeconds >= 0)
		assert.are.equal(#row.members, row.membersCount)
		assert.truthy(row.note:find("executors of a cluster are not shown", 1, true))
		local tree = work.node:ctl("ps", "--tree")
		assert.truthy(tree:find " count_NP +recipe ", tree)
		assert.truthy(tree:find " java +member +[^\n]*%d+ MB" and tree:find " python3 +member " and tree:find "executors of a cluster are not shown", tree)
		helper.write(work:path("SPARK", "data/raw/go"), "")
		assert.are.equal("DONE", work:ended("SPARK", job).baseStatus.state, work:log("SPARK", job))
		assert.are.equal("3", helper.read(work:path("SPARK", "data/n/n")))
		local log = work:log("SPARK", job)
		assert.truthy(log:find("begun ['--of', 'raw'] a b, c SPARK count", 1, true), log)
		assert.truthy(log:find("spark {--jars=lib/a.jar,lib/b.jar, --master=local[2], spark.app.name=a b, c, spark.driver.memory=100m} recipes/count.py [--of, raw]", 1, true), log)
		assert.truthy(log:find "%[null%-err%-%d+%] %[INFO%] %[act%.count_NP%]  %- spark {", log)
	end)

	it("is ended as a whole by an abort", function()
		work:project("SPARKB", ([[ project { recipes = { long = spark { script = "long.py", bin = "%s/spark-submit", outputs = { "x" } } } } ]]):format(bin),
			{ ["long.py"] = GATEWAY .. "print('begun', flush=True)\nimport signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\nwhile True: signal.pause()\n" })
		local job = work:start("SPARKB", "x")
		work:begun("SPARKB", job)
		local pids = {}
		for _, m in ipairs(work:recipes()[1].members) do pids[#pids + 1] = m.pid end
		assert.truthy(#pids >= 3)
		assert.are.equal(200, work:abort("SPARKB", job))
		assert.are.equal("ABORTED", work:ended("SPARKB", job).baseStatus.state)
		work:is_quiet()
		for _, pid in ipairs(pids) do assert.is_nil(helper.read(("/proc/%d/stat"):format(pid))) end
	end)

	it("tells the end of either: Python's status, the JVM's signal, memory of both together", function()
		work:project("SPARKC", ([[
local function job(script, out, limits) return spark { script = script, bin = "%s/spark-submit", outputs = { out }, limits = limits } end
project { recipes = { bad = job("bad.py", "b"), killed = job("killed.py", "k"), large = job("large.py", "l", { memory = "160m" }) } }]]):format(bin), {
			["bad.py"] = GATEWAY .. "raise ValueError('no such column: amuont')\n",
			["killed.py"] = GATEWAY .. "print('begun', flush=True)\nimport signal\nwhile True: signal.pause()\n",
			["large.py"] = GATEWAY .. "ask('heap 400')\n",
		})
		local a, log, state = work:build("SPARKC", "b")
		assert.are.same({ "FAILED", 1 }, { state, a.exitCode })
		assert.truthy(log:find("ValueError: no such column: amuont", 1, true) and log:find("User application exited with 1", 1, true), log)
		local job = work:start("SPARKC", "k")
		work:begun("SPARKC", job)
		local jvm = names_of(work:recipes()[1]).java
		os.execute("kill -9 " .. jvm.pid)
		a = work:ended("SPARKC", job).baseStatus.activities.killed_NP
		assert.are.same({ "FAILED", "signal" }, { a.state, a.cause })
		assert.truthy(work:message(a):find("SIGKILL, sent by somebody else than dssd", 1, true), work:message(a))
		if work.node:status().cgroups == "none" then return end
		a = work:build("SPARKC", "l")
		assert.are.same({ "FAILED", "oom_limit" }, { a.state, a.cause }, work:message(a))
		assert.truthy(work:message(a):find("160 MB", 1, true), work:message(a))
	end)

	it("runs a class of a jar, with jars beside it", function()
		work:project("JAR", ([[ project { recipes = { j = spark { script = "lib/job.jar", class = "demo.Job", bin = "%s/spark-submit", args = { "7" }, outputs = { "x" } } } } ]])
			:format(bin), { ["src/demo/Job.java"] = [[
package demo;
public class Job {
	public static void main(String[] a) throws Exception { java.nio.file.Files.writeString(java.nio.file.Path.of("data/x/n"), a[0] + a[0]); }
}
]] })
		local dir = Instance.quote(work:path "JAR")
		assert(os.execute(("cd %s && mkdir -p lib out && javac -d out src/demo/Job.java && jar cf lib/job.jar -C out demo && chmod -R a+rX lib"):format(dir)))
		local _, log, state = work:build("JAR", "x")
		assert.are.equal("DONE", state, log)
		assert.are.equal("77", helper.read(work:path("JAR", "data/x/n")))
	end)

	it("runs an R script below the JVM", function()
		if not has_r then return pending "R is not installed" end
		work:project("SPARKR", ([[ project { recipes = { r = spark { script = "count.R", bin = "%s/spark-submit", inputs = { "raw" }, outputs = { "n" } } } } ]]):format(bin),
			{ ["data/raw/rows"] = "a\nb\n", ["count.R"] = [[
s <- socketConnection("127.0.0.1", as.integer(Sys.getenv("EXISTING_SPARKR_BACKEND_PORT")), blocking = TRUE, open = "r+")
writeLines(Sys.getenv("SPARKR_BACKEND_AUTH_SECRET"), s)
writeLines("count data/raw/rows", s)
writeLines(readLines(s, 1), "data/n/n")
]] })
		local _, log, state = work:build("SPARKR", "n")
		assert.are.equal("DONE", state, log)
		assert.are.equal("2\n", helper.read(work:path("SPARKR", "data/n/n")))
	end)

	it("says that spark-submit is not installed, where it is not", function()
		work:project("NOSPARK", [[ project { recipes = { a = spark { script = "a.py", bin = "spark-submit-3", outputs = { "x" } } } } ]], { ["a.py"] = "" })
		local a = work:build("NOSPARK", "x")
		assert.are.equal("start_failed", a.cause)
		assert.truthy(work:message(a):find("unable to run spark-submit-3: it is not installed (searched /usr/local/bin:/usr/bin:/bin)", 1, true), work:message(a))
	end)
end)

describe("an R recipe", function()
	setup(open)
	teardown(function()
		if work then work:remove() end
		if bin then Instance.remove_folder(bin) end
		work, bin = nil, nil
	end)
	if not has_r then
		pending "R is not installed"
		return
	end

	it("reads a table and writes one, with its warnings in the log", function()
		work:project("R", [[ project { recipes = { sum = r { script = "recipes/sum.R", args = { "--by", "who" }, inputs = { "raw" }, outputs = { "sums" } } } } ]], {
			["data/raw/rows.csv"] = "who,amount\nann,1\nbob,2\nann,x\nann,4\n", ["recipes/sum.R"] = [=[
args <- commandArgs(trailingOnly = TRUE)
rows <- read.csv("data/raw/rows.csv")
rows$amount <- as.numeric(rows$amount)
sums <- aggregate(rows$amount, list(who = rows[[args[2]]]), sum, na.rm = TRUE)
write.csv(sums, "data/sums/sums.csv", row.names = FALSE, quote = FALSE)
cat("project", Sys.getenv("DKU_CURRENT_PROJECT_KEY"), "rows", nrow(rows), "\n")
t <- tempfile(); writeLines("x", t); unlink(t)
cat("library", Sys.getenv("R_LIBS_USER"), "\n")
cat("h\u00e4user\n")
]=] })
		local _, log, state, job = work:build("R", "sums")
		assert.are.equal("DONE", state, log)
		assert.are.equal("who,x\nann,5\nbob,2\n", helper.read(work:path("R", "data/sums/sums.csv")))
		assert.truthy(log:find("project R rows 4", 1, true), log)
		assert.truthy(log:find "%[null%-err%-%d+%] %[INFO%] %[act%.sum_NP%]  %- NAs introduced by coercion", log)
		assert.truthy(log:find("häuser", 1, true), log)
		-- packages of the project's own, not of a home that the run user has not
		assert.truthy(log:find("library " .. work:path "R" .. "/R/", 1, true), log)
		assert.truthy(job)
	end)

	it("fails with its own words: stop(), a package that is missing, a mistake in the script", function()
		work:project("RBAD", [[
project { recipes = { a = r { script = "a.R", outputs = { "x" } }, b = r { script = "b.R", outputs = { "y" } }, c = r { script = "c.R", outputs = { "z" } } } }]], {
			["a.R"] = "f <- function(n) stop('no rows for month ', n)\nf(13)\n", ["b.R"] = "library(nosuchpackage)\n", ["c.R"] = "x <- (1 +\n",
		})
		local a, log, state = work:build("RBAD", "x")
		assert.are.same({ "FAILED", 1 }, { state, a.exitCode })
		assert.truthy(log:find("Error in f(13) : no rows for month 13", 1, true) and log:find("Execution halted", 1, true), log)
		assert.truthy(work:message(a):find('Recipe "a" ended with status 1', 1, true), work:message(a))
		log = select(2, work:build("RBAD", "y"))
		assert.truthy(log:find("there is no package called ‘nosuchpackage’", 1, true), log)
		log = select(2, work:build("RBAD", "z"))
		assert.truthy(log:find("unexpected end of input", 1, true), log)
	end)

	it("adds up the demo's revenue", function()
		local demo = Work.new { init = { "--demo" }, policies = false }
		finally(function() demo:remove() end)
		local s = demo:ended("DEMO", demo:start("DEMO", "revenue"))
		assert.are.equal("DONE", s.baseStatus.state)
		assert.are.same({ "r", "DONE" }, { s.baseStatus.activities.aggregate_NP.recipeType, s.baseStatus.activities.aggregate_NP.state })
	end)

	it("says which R it did not find", function()
		work:project("NOR", [[ project { recipes = { a = r { script = "a.R", bin = "/opt/R/4.9/bin/Rscript", outputs = { "x" } } } } ]], { ["a.R"] = "" })
		local a, log = work:build("NOR", "x")
		assert.are.same({ "FAILED", "start_failed" }, { a.state, a.cause })
		assert.are.equal('Recipe "a" could not be started: unable to run /opt/R/4.9/bin/Rscript: No such file or directory.', work:message(a))
		assert.truthy(log:find "%[ERROR%] %[act%.a_NP%]  %- unable to run /opt/R/4%.9/bin/Rscript: No such file or directory", log)
		assert.is_nil(a.exitCode)
	end)
end)
