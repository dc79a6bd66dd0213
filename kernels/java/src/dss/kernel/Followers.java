package dss.kernel;

import java.util.concurrent.ScheduledThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * The few threads that speak with the backend about processes, however many there are: each request is one step of one talk.
 * Some of them may wait in long polls; the others are kept for what is quick, so that nothing new waits for something old.
 */
final class Followers {
	private static final int THREADS = 12, LONG_POLLS = 8; // each is also a connection to the backend, which has a thousand for all jobs
	private static final long IDLE_S = 5;

	private final AtomicInteger longPolls = new AtomicInteger();
	private final ScheduledThreadPoolExecutor pool;

	Followers() {
		// Not in the group of the task that happens to need one more: they outlive it.
		ThreadGroup group = Thread.currentThread().getThreadGroup();
		AtomicInteger count = new AtomicInteger();
		pool = new ScheduledThreadPoolExecutor(THREADS, work -> {
			Thread thread = new Thread(group, work, "kernel-follower-" + count.incrementAndGet(), 0, false);
			thread.setDaemon(true);
			thread.setContextClassLoader(Followers.class.getClassLoader());
			return thread;
		});
		pool.setKeepAliveTime(IDLE_S, TimeUnit.SECONDS);
		pool.allowCoreThreadTimeOut(true);
	}

	void warm() {
		pool.execute(() -> {
		});
	}

	/** Throws OutOfMemoryError when there is no thread to be had and none runs that will come to it. */
	void in(long ms, Runnable step) {
		try {
			pool.schedule(step, ms, TimeUnit.MILLISECONDS);
		} catch (OutOfMemoryError e) {
			if (pool.getPoolSize() == 0)
				throw e;
		}
	}

	/** Whether one more may wait; who got true calls {@link #endLongPoll}. */
	boolean beginLongPoll() {
		if (longPolls.incrementAndGet() <= LONG_POLLS)
			return true;
		longPolls.decrementAndGet();
		return false;
	}

	void endLongPoll() {
		longPolls.decrementAndGet();
	}
}
