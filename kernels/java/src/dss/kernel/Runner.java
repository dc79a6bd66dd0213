package dss.kernel;

import com.google.gson.JsonObject;
import dss.Progress;
import java.io.InputStream;
import java.io.PrintStream;
import java.util.Locale;
import java.util.Properties;
import java.util.TimeZone;

/** Runs one task after the other, each in a thread and a thread group of its own; leaves few traces of one task to the next. */
final class Runner {
	private static final int NAMED_THREADS = 5; // of those left behind, in the log

	private final Desk desk;
	private final Trade trade;

	Runner(Desk desk, Trade trade) {
		this.desk = desk;
		this.trade = trade;
	}

	@SuppressWarnings({ "deprecation", "removal" }) // up to Java 18 a group stays for ever unless told to go with its last thread
	void start(Task task) {
		ThreadGroup group = new ThreadGroup("task " + task.id);
		group.setDaemon(true);
		Thread thread = new Thread(group, () -> run(task, group), "task " + task.id);
		thread.setDaemon(true);
		task.work.thread = thread;
		try {
			thread.start();
		} catch (OutOfMemoryError e) { // no thread left, under the box's limit
			desk.finish(task, null, Outcome.error(e));
		}
	}

	private void run(Task task, ThreadGroup group) {
		Surroundings before = new Surroundings();
		byte[] result = null;
		JsonObject error = null;
		Progress.connect(task);
		try {
			result = trade.run(task);
		} catch (Throwable e) {
			error = describe(e);
		}
		try {
			Progress.connect(null);
			before.restore();
			noteThreads("task " + task.id, group);
		} finally {
			desk.finish(task, result, error);
		}
	}

	static JsonObject describe(Throwable e) {
		try {
			return Outcome.error(e);
		} catch (Throwable worse) {
			return Outcome.error(e.getClass().getName(), "its description failed: " + worse.getClass().getName(), "");
		}
	}

	/** They go on, with whatever they hold; the log tells whose they are. */
	static void noteThreads(String whose, ThreadGroup group) {
		Thread[] left = new Thread[NAMED_THREADS + 1];
		int n = group.enumerate(left, true);
		StringBuilder names = new StringBuilder();
		int shown = 0;
		for (int i = 0; i < n; i++)
			if (left[i] != Thread.currentThread() && shown++ < NAMED_THREADS)
				names.append(names.length() > 0 ? ", " : "").append('"').append(left[i].getName()).append('"');
		if (shown > 0)
			Main.log(whose + " left threads behind: " + names + (n == left.length ? ", …" : ""));
	}

	/** What a task finds around it, and the next one again. */
	private static final class Surroundings {
		private final PrintStream out = System.out, err = System.err;
		private final InputStream in = System.in;
		private final Properties properties = (Properties) System.getProperties().clone();
		private final Locale locale = Locale.getDefault();
		private final TimeZone zone = TimeZone.getDefault();
		private final Thread.UncaughtExceptionHandler handler = Thread.getDefaultUncaughtExceptionHandler();

		void restore() {
			for (PrintStream stream : new PrintStream[] { System.out, System.err, out, err })
				if (stream != null)
					stream.flush();
			System.setOut(out);
			System.setErr(err);
			System.setIn(in);
			if (!properties.equals(System.getProperties()))
				System.setProperties(properties);
			Locale.setDefault(locale);
			TimeZone.setDefault(zone);
			Thread.setDefaultUncaughtExceptionHandler(handler);
		}
	}
}
