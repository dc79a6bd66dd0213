package dss.kernel;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import dss.Progress;
import dss.kernel.Activity.State;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.HexFormat;
import java.util.List;

/**
 * A job under way. Its activities change under this object's lock, in whichever thread learnt something; the task's thread
 * only waits, writes the log and passes on an order to stop. The desk's lock is taken before this one, never after.
 *
 * <pre>
 *   activity x event   what it needs is done   place, process  ended          what it needs failed   stop
 *   NOT_STARTED        WAITING                 -               -              SKIPPED                ABORTED
 *   WAITING            -                       RUNNING         FAILED         -                      ABORTED (a process: once the backend knows)
 *   RUNNING            -                       -               DONE, FAILED   -                      asked to stop, ABORTED when it ended
 * </pre>
 */
final class Job implements Task.Detail, Progress.Sink {
	private static final int FULL_ERRORS = 10; // so many activities show class and stack of what they threw; the log has all
	private static final int SHOWN_CHARS = 300, ALL_CHARS = 120_000; // of a text of one activity in a state; of those of all: the backend takes 2 MB
	private static final int STACK_CHARS = 4000, TEXT_CHARS = 1000;
	private static final long LATE_GRACE_NS = 5_000_000_000L; // a recipe past its timeout that hears nothing is left behind after it

	/** An activity failed, and the job with it. */
	static final class ActivityFailed extends Exception {
		ActivityFailed(String message, Throwable cause) {
			super(message, cause);
		}
	}

	private record Line(Activity activity, String level, String text) {
	}

	private final Task task;
	private final Plan plan;
	private final Settings settings;
	private final Followers followers;
	private final Deque<Activity> javaLine = new ArrayDeque<>(); // recipes that wait for a slot
	private ThreadGroup group; // of the task
	private List<Line> toSay = new ArrayList<>();
	private int open, talking, javaRunning, failed, fullErrors; // open: not ended; talking: talks that are not over
	private boolean isStopping;
	private volatile boolean hasLeftThread; // a recipe that does not end goes on in this kernel
	private Activity firstFailed;
	private Throwable firstThrown; // by firstFailed, if it is a java recipe

	Job(Task task, Plan plan, Settings settings, Followers followers) {
		this.task = task;
		this.plan = plan;
		this.settings = settings;
		this.followers = followers;
		open = plan.activities.size();
	}

	/** In the task's thread, to the job's end. */
	byte[] run() throws ActivityFailed {
		group = Thread.currentThread().getThreadGroup();
		Progress.connect(this);
		begin();
		while (!isOver())
			for (Line line : await())
				ActivityLog.say(line.activity, line.level, line.text);
		for (Line line : takeLines())
			ActivityLog.say(line.activity, line.level, line.text);
		synchronized (this) {
			ActivityLog.say(null, firstFailed == null ? "INFO" : "ERROR", "Job " + plan.jobId + " ended: " + summary());
			if (firstFailed != null)
				throw new ActivityFailed("activity " + firstFailed.id + " failed: " + firstFailed.message
						+ (failed > 1 ? " (" + (failed - 1) + " more failed)" : ""), firstThrown);
			JsonObject result = new JsonObject();
			tell(result);
			return result.toString().getBytes(StandardCharsets.UTF_8);
		}
	}

	private synchronized void begin() {
		say(null, "INFO", "Job " + plan.jobId + " begins: " + plan.activities.size() + " activities");
		if (task.isStopped())
			stopAll();
		for (Activity a : plan.activities.values())
			if (a.missing == 0 && a.state == State.NOT_STARTED)
				ready(a);
		tellTask();
	}

	private synchronized boolean isOver() {
		return open == 0 && talking == 0;
	}

	/** Until something is to be logged or the job is over. */
	private synchronized List<Line> await() {
		while (toSay.isEmpty() && !isOver()) {
			try {
				long left = checkDeadlines(System.nanoTime());
				if (toSay.isEmpty() && !isOver())
					wait(left == Long.MAX_VALUE ? 0 : left / 1_000_000 + 1);
			} catch (InterruptedException e) {
				// asked to stop, also again; or a recipe interrupted every thread it found
				if (task.isStopped())
					stopAll();
			}
		}
		return takeLines();
	}

	private synchronized List<Line> takeLines() {
		List<Line> lines = toSay;
		toSay = new ArrayList<>();
		return lines;
	}

	// --- from one state to the next; all under the lock ---

	private void ready(Activity a) {
		a.state = State.WAITING;
		a.readyAt = System.currentTimeMillis();
		if (a.isJava()) {
			javaLine.add(a);
			startRecipes();
			return;
		}
		talk(a);
	}

	private void talk(Activity a) {
		a.talk = new ProcessTalk(this, a, settings, followers, plan.jobId, requestId(task.id, task.attempt, a.id));
		talking++;
		try {
			a.talk.start();
		} catch (OutOfMemoryError e) {
			talking--;
			end(a, State.FAILED, "unable to start a thread for it: " + e.getMessage(), null);
		}
	}

	private void startRecipes() {
		while (!javaLine.isEmpty() && javaRunning < plan.javaSlots) {
			Activity a = javaLine.remove();
			a.hasSlot = true;
			javaRunning++;
			talk(a);
		}
		int place = 1;
		for (Activity a : javaLine) {
			a.waitingReason = "java recipes of this job: " + javaRunning + " of " + plan.javaSlots + " run";
			a.position = place++;
		}
	}

	/** The backend has a place for a java recipe. */
	synchronized void place(Activity a) {
		if (a.state.isEnd())
			return;
		if (isStopping) {
			end(a, State.ABORTED, "its job was stopped before it began", null);
			return;
		}
		Work work = new Work(ActivityLog.name(a));
		ActivityLog.Group threads = new ActivityLog.Group(group, a);
		work.thread = new Thread(threads, () -> runRecipe(a, work, threads), work.name);
		work.thread.setDaemon(true);
		a.work = work;
		if (a.timeoutMs() > 0)
			a.deadline = System.nanoTime() + a.timeoutMs() * 1_000_000;
		setRunning(a, System.currentTimeMillis());
		try {
			work.thread.start();
		} catch (OutOfMemoryError e) { // no thread left, under the box's limit
			end(a, State.FAILED, "unable to start a thread for it: " + e.getMessage(), e);
		}
	}

	private void runRecipe(Activity a, Work work, ActivityLog.Group threads) {
		Throwable thrown = null;
		try {
			makeFolders(a.given);
			JavaTask.runForItsDeeds(a.given, work);
		} catch (Throwable e) {
			thrown = e;
		}
		try {
			threads.flush();
			Runner.noteThreads(work.name, threads);
		} catch (IOException e) {
			// nobody reads our log any more
		} finally {
			boolean isStopped = task.isStopped(); // it may have seen that before we passed the order on
			String message = isStopped ? "stopped with its job" : a.isLate ? lateText(a) : thrown == null ? null : textOf(thrown);
			end(a, isStopped ? State.ABORTED : thrown == null && !a.isLate ? State.DONE : State.FAILED, message, thrown);
		}
	}

	/** As a process finds them: data/NAME of what it makes, in the project's folder. */
	private static void makeFolders(JsonObject given) throws IOException {
		if (!Json.isText(given.get("cwd")) || !(given.get("outputs") instanceof JsonArray outputs))
			return;
		for (JsonElement name : outputs)
			if (Json.isText(name))
				Files.createDirectories(Path.of(given.get("cwd").getAsString(), "data", name.getAsString()));
	}

	private static String lateText(Activity a) {
		return "it ran longer than its timeout of " + Activity.duration(a.timeoutMs());
	}

	/** Asks recipes whose time is over to stop, and goes on without those that do not. Returns ns to the next look, or MAX_VALUE. */
	private long checkDeadlines(long now) {
		long least = Long.MAX_VALUE;
		for (Activity a : plan.activities.values()) {
			if (a.work == null || a.deadline == Long.MAX_VALUE)
				continue;
			if (now - a.deadline >= 0 && !a.isLate) {
				a.isLate = true;
				a.deadline = now + LATE_GRACE_NS;
				a.work.stop();
			} else if (now - a.deadline >= 0) {
				hasLeftThread = true;
				end(a, State.FAILED, lateText(a) + " and does not end when asked to; its kernel ends after this job", null);
				continue;
			}
			least = Math.min(least, a.deadline - now);
		}
		return least;
	}

	@Override
	public boolean isKernelSpent() {
		return hasLeftThread;
	}

	private static String textOf(Throwable thrown) {
		JsonObject error = Runner.describe(thrown);
		String text = error.get("message").getAsString(), clazz = error.get("clazz").getAsString();
		return text.isEmpty() ? clazz : clazz + ": " + text;
	}

	private void setRunning(Activity a, long startAt) {
		a.state = State.RUNNING;
		a.startAt = startAt;
		a.message = a.waitingReason = null;
		say(a, "INFO", "Activity started" + (a.processId == null ? "" : ", process " + a.processId));
		tellTask();
	}

	/** The first end counts. {@code thrown} may be null. */
	synchronized void end(Activity a, State state, String message, Throwable thrown) {
		if (a.state.isEnd())
			return;
		boolean hadSlot = a.hasSlot;
		a.hasSlot = false;
		a.state = state;
		a.endAt = System.currentTimeMillis();
		a.message = message == null ? null : Activity.line(message, TEXT_CHARS);
		a.work = null;
		open--;
		JsonObject error = thrown == null ? null : Runner.describe(thrown);
		if (state == State.FAILED)
			fail(a, thrown, error);
		say(a, state == State.FAILED ? "ERROR" : "INFO", "Activity " + state + (a.message == null ? "" : ": " + a.message)
				+ stackOf(error));
		for (Activity n : a.next)
			if (state == State.DONE && --n.missing == 0 && n.state == State.NOT_STARTED && !isStopping)
				ready(n);
		if (hadSlot) {
			javaRunning--;
			startRecipes();
		}
		tellTask();
		notifyAll();
	}

	/** With its causes; on lines of its own. {@code error} may be null. */
	private static String stackOf(JsonObject error) {
		StringBuilder s = new StringBuilder();
		for (JsonObject e = error; e != null; e = e.getAsJsonObject("cause"))
			if (!e.get("stack").getAsString().isEmpty())
				s.append(e == error ? "\n" : "\nCaused by: ").append(e.get("stack").getAsString().stripTrailing());
		return s.toString();
	}

	private void fail(Activity a, Throwable thrown, JsonObject error) {
		failed++;
		if (firstFailed == null) {
			firstFailed = a;
			firstThrown = thrown;
		}
		if (error != null && fullErrors < FULL_ERRORS) {
			fullErrors++;
			a.error = Outcome.error(error.get("clazz").getAsString(), Activity.line(error.get("message").getAsString(), TEXT_CHARS),
					cut(error.get("stack").getAsString()));
		}
		skip(a);
	}

	private static String cut(String stack) {
		return stack.length() > STACK_CHARS ? stack.substring(0, STACK_CHARS) + "…" : stack;
	}

	/** All that needs it, near or far; without recursion, as a chain may be long. */
	private void skip(Activity failedOne) {
		Deque<Activity> reached = new ArrayDeque<>(failedOne.next);
		while (!reached.isEmpty()) {
			Activity a = reached.remove();
			if (a.state != State.NOT_STARTED)
				continue;
			a.state = State.SKIPPED;
			a.endAt = System.currentTimeMillis();
			a.message = "not run: " + failedOne.id + ", which it needs, failed";
			open--;
			say(a, "INFO", "Activity SKIPPED: " + a.message);
			reached.addAll(a.next);
		}
	}

	private void stopAll() {
		if (!isStopping)
			say(null, "INFO", "Job " + plan.jobId + " is to stop");
		isStopping = true;
		javaLine.clear();
		for (Activity a : plan.activities.values()) {
			if (a.work != null)
				a.work.stop();
			else if (a.talk != null)
				a.talk.stop();
			else
				end(a, State.ABORTED, "its job was stopped before it began", null);
		}
	}

	// --- what the talks tell ---

	synchronized void setWaiting(Activity a, String reason, long position) {
		if (a.state.isEnd())
			return;
		String clean = Activity.line(reason, TEXT_CHARS);
		boolean isNew = a.state != State.WAITING || a.waitingReason == null || !isSameReason(clean, a.waitingReason);
		a.state = State.WAITING;
		a.startAt = 0;
		a.waitingReason = clean;
		a.position = position;
		if (isNew)
			say(a, "INFO", "Activity waits: " + clean);
		task.addNews();
	}

	/** Its numbers change all the time: the log has the reason once. */
	private static boolean isSameReason(String one, String other) {
		return one.replaceAll("[0-9.]+", "").equals(other.replaceAll("[0-9.]+", ""));
	}

	/** {@code startAt} 0: just now. */
	synchronized void setRunning(Activity a, String processId, long startAt) {
		if (a.state.isEnd())
			return;
		a.processId = processId;
		if (a.state != State.RUNNING)
			setRunning(a, startAt > 0 ? startAt : System.currentTimeMillis());
		else if (a.message != null)
			note(a, null);
	}

	synchronized void setProcess(Activity a, String processId, JsonObject exit) {
		a.processId = processId;
		if (exit != null)
			a.exit = exit;
	}

	/** Something that does not change its state; {@code text} null: it is over. */
	synchronized void note(Activity a, String text) {
		if (a.state.isEnd())
			return;
		if (text != null && a.state == State.WAITING) {
			setWaiting(a, text, 0);
			return;
		}
		String clean = text == null ? null : Activity.line(text, TEXT_CHARS);
		if (clean != null && !clean.equals(a.message))
			say(a, "WARN", clean);
		a.message = clean;
		task.addNews();
	}

	/** A talk is over. */
	synchronized void hangUp(Activity a) {
		a.talk = null;
		talking--;
		notifyAll();
	}

	// --- for watchers ---

	@Override
	public synchronized void tell(JsonObject state) {
		JsonObject all = new JsonObject();
		int chars = Math.min(SHOWN_CHARS, ALL_CHARS / Math.max(1, plan.activities.size()));
		for (Activity a : plan.activities.values())
			all.add(a.id, a.toJson(chars));
		state.add("activities", all);
		if (firstFailed == null)
			return;
		JsonObject first = new JsonObject();
		first.addProperty("activityId", firstFailed.id);
		first.addProperty("message", firstFailed.message);
		if (firstFailed.error != null)
			first.addProperty("clazz", firstFailed.error.get("clazz").getAsString());
		state.add("firstFailure", first);
	}

	@Override
	public void leave(Thread caller) {
		ActivityLog.Group of = caller.getThreadGroup() instanceof ActivityLog.Group found ? found : null;
		synchronized (this) {
			isStopping = true;
			if (of != null)
				end(of.activity, State.FAILED, "the recipe called System.exit, which ends the kernel; throw an exception instead", null);
			for (Activity a : plan.activities.values())
				end(a, State.ABORTED, "its job's kernel ended", null);
		}
	}

	/** Progress of a recipe: its own, not the job's. */
	@Override
	public void say(double fraction, String message) {
		ActivityLog.Group of = ActivityLog.group();
		if (of == null)
			return;
		synchronized (this) {
			if (of.activity.state.isEnd())
				return;
			if (!Double.isNaN(fraction))
				of.activity.progress = fraction;
			if (message != null)
				of.activity.message = message;
		}
		task.addNews();
	}

	@Override
	public boolean isStopped() {
		return task.isStopped();
	}

	private void say(Activity a, String level, String text) {
		toSay.add(new Line(a, level, text));
		notifyAll();
	}

	private void tellTask() {
		int all = plan.activities.size();
		task.say(all == 0 ? 1 : (double) (all - open) / all, summary());
	}

	/** "3 of 8 done, 2 running, 1 waiting": what there is of each, in the order of the states. */
	private String summary() {
		int[] counts = new int[State.values().length];
		for (Activity a : plan.activities.values())
			counts[a.state.ordinal()]++;
		StringBuilder s = new StringBuilder().append(counts[State.DONE.ordinal()]).append(" of ").append(plan.activities.size()).append(" done");
		for (State state : State.values())
			if (counts[state.ordinal()] > 0 && state != State.DONE && state != State.NOT_STARTED)
				s.append(", ").append(counts[state.ordinal()]).append(' ').append(state.name().toLowerCase());
		return s.toString();
	}

	/** The same for the same activity of the same attempt, whoever asks and how often. */
	static String requestId(String taskId, int attempt, String activityId) {
		try {
			byte[] text = (taskId + "\n" + attempt + "\n" + activityId).getBytes(StandardCharsets.UTF_8);
			return "req-" + HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(text), 0, 16);
		} catch (NoSuchAlgorithmException e) {
			throw new IllegalStateException(e);
		}
	}
}
