package dss.kernel;

import com.google.gson.JsonObject;
import dss.Progress;

/** One attempt. What it said is the running task's; all else changes under the desk's lock. */
final class Task implements Progress.Sink {
	/** Reasons to stop; the first word counts. */
	enum Stop {
		ABORT, TIMEOUT
	}

	/** More than a fraction and a message, from tasks that have it. Called in any thread, under the desk's lock. */
	interface Detail {
		void tell(JsonObject state);

		/** The process ends: {@code caller} called System.exit. */
		void leave(Thread caller);

		/** Something of it goes on that cannot be ended: this kernel takes no task after it. */
		boolean isKernelSpent();
	}

	private record Said(double progress, String message) {
	}

	final String id, type;
	final int attempt;
	final long timeoutMs; // 0: none
	final Work work;
	private final Runnable wake;
	JsonObject payload; // null once ended
	volatile long version;
	volatile String state = "running";
	volatile Stop stopReason;
	volatile Detail detail; // null: there is none
	long deadline; // nanoTime, with timeoutMs only
	long newsAt; // nanoTime of the last version that grew by progress
	JsonObject error;
	byte[] result; // JSON
	private volatile boolean hasNews; // said something that the version does not tell yet
	private volatile Said said = new Said(Double.NaN, null);

	Task(String id, int attempt, String type, JsonObject payload, long timeoutMs, Runnable wake) {
		this.id = id;
		this.attempt = attempt;
		this.type = type;
		this.work = new Work("task " + id);
		this.payload = payload;
		this.timeoutMs = timeoutMs;
		this.wake = wake;
		this.newsAt = System.nanoTime() - Desk.NEWS_PAUSE_NS;
	}

	boolean isRunning() {
		return state.equals("running");
	}

	@Override
	public void say(double progress, String message) {
		synchronized (this) {
			Said before = said;
			said = new Said(Double.isNaN(progress) ? before.progress : progress, message == null ? before.message : message);
		}
		addNews();
	}

	/** Something is new to whoever watches. */
	void addNews() {
		synchronized (this) {
			if (hasNews)
				return;
			hasNews = true;
		}
		wake.run();
	}

	@Override
	public boolean isStopped() {
		return stopReason != null;
	}

	boolean isKernelSpent() {
		Detail more = detail;
		return more != null && more.isKernelSpent();
	}

	boolean hasNews() {
		return hasNews;
	}

	/** Before `said` is read: what comes later is news again. */
	void clearNews() {
		hasNews = false;
	}

	void tell(JsonObject state) {
		Said now = said;
		if (!Double.isNaN(now.progress))
			state.addProperty("progress", now.progress);
		if (now.message != null)
			state.addProperty("message", now.message);
		Detail more = detail;
		if (more != null)
			more.tell(state);
	}
}
