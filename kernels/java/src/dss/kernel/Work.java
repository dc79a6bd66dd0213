package dss.kernel;

import dss.FutureThread;

/** A FutureThread on its way and the thread it runs in: what an order to stop must reach. Any thread may call {@link #stop}. */
final class Work {
	final String name; // "task ID" or "act.ID"
	volatile Thread thread;
	volatile FutureThread<?> made; // once it is: its abort() is called
	private volatile boolean isStopped;

	Work(String name) {
		this.name = name;
	}

	boolean isStopped() {
		return isStopped;
	}

	/** Interrupts the thread and calls abort(); again when asked again. */
	void stop() {
		isStopped = true;
		Thread runs = thread;
		if (runs != null)
			runs.interrupt();
		FutureThread<?> asked = made;
		if (asked != null)
			callAbort(asked);
	}

	/** In a thread of its own, as it may do anything. */
	private void callAbort(FutureThread<?> asked) {
		Thread caller = new Thread(() -> {
			try {
				asked.abort();
			} catch (Throwable e) {
				Main.log("abort() of " + name + " failed: " + e);
			}
		}, "abort of " + name);
		caller.setDaemon(true);
		caller.setContextClassLoader(asked.getClass().getClassLoader());
		try {
			caller.start();
		} catch (OutOfMemoryError e) {
			Main.log("unable to call abort() of " + name + ": " + e.getMessage());
		}
	}
}
