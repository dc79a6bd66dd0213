package dss.kernel;

import com.google.gson.JsonObject;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * The desk: the one task of this kernel, shared by the server thread (takes, shows, stops it) and the task's thread.
 *
 * <pre>
 *   state x event   take      progress   stop             finish               forget
 *   (nothing)       running   -          -                -                    -
 *   running         refused   running    running, asked   done/failed/aborted  refused
 *   ended           running   -          -                -                    (nothing)
 * </pre>
 *
 * A task once asked to stop ends aborted (or failed with Timeout), also when it returns a value all the same. Versions only
 * grow, over all tasks of this kernel, so that a number seen earlier never hides something new.
 */
final class Desk {
	static final long NEWS_PAUSE_NS = 100_000_000; // progress is shown at most ten times a second
	private static final int REMEMBERED_ATTEMPTS = 4096; // an attempt runs at most once, also after its outcome was forgotten
	static final long NEVER = Long.MAX_VALUE;

	private final Runnable wake;
	private final Map<String, Boolean> seen = new LinkedHashMap<>() {
		@Override
		protected boolean removeEldestEntry(Map.Entry<String, Boolean> eldest) {
			return size() > REMEMBERED_ATTEMPTS;
		}
	};
	private volatile Task task;
	private volatile boolean isStopping;
	private long version;

	/** {@code wake} tells the server thread that something changed; called from any thread. */
	Desk(Runnable wake) {
		this.wake = wake;
	}

	Runnable wake() {
		return wake;
	}

	Task task() {
		return task;
	}

	boolean isStopping() {
		return isStopping;
	}

	synchronized boolean hasRun(String id, int attempt) {
		return seen.containsKey(attempt + " " + id);
	}

	/** Puts a task on the desk; the one before it must have ended. */
	synchronized void take(Task next) {
		assert task == null || !task.isRunning();
		seen.put(next.attempt + " " + next.id, true);
		next.version = ++version;
		next.deadline = System.nanoTime() + next.timeoutMs * 1_000_000;
		task = next;
	}

	/** Asks a running task to stop; asks again when it was asked before. The first reason counts. */
	synchronized void stop(Task t, Task.Stop reason) {
		if (!t.isRunning())
			return;
		if (t.stopReason == null)
			t.stopReason = reason;
		t.work.stop();
	}

	synchronized void forget(Task t) {
		if (task == t && !t.isRunning())
			task = null;
	}

	/** Lets the version tell what the task said. Returns when to look again, nanoTime or NEVER. */
	synchronized long showNews(long now, boolean atOnce) {
		Task t = task;
		if (t == null || !t.isRunning() || !t.hasNews())
			return NEVER;
		if (!atOnce && now - t.newsAt < NEWS_PAUSE_NS)
			return t.newsAt + NEWS_PAUSE_NS;
		t.clearNews();
		t.version = ++version;
		t.newsAt = now;
		return NEVER;
	}

	/** Stops a task whose time is over. Returns when to look again, nanoTime or NEVER. */
	long checkDeadline(long now) {
		Task t = task;
		if (t == null || !t.isRunning() || t.timeoutMs == 0 || t.stopReason != null)
			return NEVER;
		if (now - t.deadline < 0)
			return t.deadline;
		stop(t, Task.Stop.TIMEOUT);
		return NEVER;
	}

	/** Ends a task with {@code result} (JSON) or {@code error}; the first end counts. */
	void finish(Task t, byte[] result, JsonObject error) {
		synchronized (this) {
			if (!t.isRunning())
				return;
			t.payload = null;
			t.work.made = null;
			t.version = ++version;
			if (t.stopReason == Task.Stop.ABORT) {
				t.error = error != null ? error : Outcome.error("TaskAborted", "aborted on request", "");
				t.state = "aborted";
			} else if (t.stopReason == Task.Stop.TIMEOUT) {
				t.error = Outcome.error("Timeout", "the task ran longer than its timeout of " + t.timeoutMs + " ms",
						error == null ? "" : error.get("stack").getAsString());
				t.state = "failed";
			} else if (error != null) {
				t.error = error;
				t.state = "failed";
			} else {
				t.result = result;
				t.state = "done";
			}
			notifyAll();
		}
		wake.run();
	}

	/** The kernel is to end, once its task did. */
	synchronized void leave() {
		isStopping = true;
		notifyAll();
	}

	/** Waits until the kernel is to end and nothing runs. */
	synchronized void awaitEnd() {
		while (!isStopping || task != null && task.isRunning()) {
			try {
				wait();
			} catch (InterruptedException e) {
				// a task interrupted every thread it found; ours is not for it to stop
			}
		}
	}
}
