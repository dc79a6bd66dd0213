package dss;

/** What a running task can say to, and ask of, the kernel it runs in. Does nothing outside a kernel. Any thread may call it. */
public final class Progress {
	private static final int MESSAGE_CHARS = 1000;

	/** The kernel's end of it. */
	public interface Sink {
		/** {@code fraction} NaN or {@code message} null: keep the one before. */
		void say(double fraction, String message);

		boolean isStopped();
	}

	private static volatile Sink sink;

	private Progress() {
	}

	/** Tells how far the task is, 0 to 1. Cheap enough for an inner loop: watchers see at most ten changes a second, and always the last one. */
	public static void report(double fraction) {
		report(fraction, null);
	}

	/** Tells how far the task is, and at what; {@code message} null keeps the one before. */
	public static void report(double fraction, String message) {
		if (Double.isNaN(fraction) || Double.isInfinite(fraction))
			throw new IllegalArgumentException("progress wants a fraction from 0 to 1; got " + fraction);
		say(Math.min(1.0, Math.max(0.0, fraction)), message);
	}

	/** Tells what the task is at. */
	public static void report(String message) {
		say(Double.NaN, message);
	}

	/** True once someone asked the running task to stop, or its time is over. */
	public static boolean isAborted() {
		Sink to = sink;
		return to != null && to.isStopped();
	}

	/** For kernels only: whom to tell from now on; null = nobody. */
	public static void connect(Sink to) {
		sink = to;
	}

	private static void say(double fraction, String message) {
		Sink to = sink;
		if (to != null)
			to.say(fraction, message != null && message.length() > MESSAGE_CHARS ? message.substring(0, MESSAGE_CHARS) : message);
	}
}
