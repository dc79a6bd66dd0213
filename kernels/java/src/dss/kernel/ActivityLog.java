package dss.kernel;

import java.io.ByteArrayOutputStream;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.time.ZoneId;
import java.time.format.DateTimeFormatter;
import java.util.Arrays;

/**
 * The lines of a job's log: {@code [2026/01/31-13:05:09.123] [act.ID] [INFO] [recipe.out]  - text}. What a recipe's threads print
 * is told apart by their thread group, so several recipes can print at once; each line is one write.
 */
final class ActivityLog {
	private static final int LINE_BYTES = 16 * 1024; // a longer one is cut into lines
	private static final DateTimeFormatter SECOND = DateTimeFormatter.ofPattern("yyyy/MM/dd-HH:mm:ss");
	private static final ZoneId ZONE = ZoneId.systemDefault(); // not a recipe's idea of it

	private static final FileOutputStream OUT = new FileOutputStream(FileDescriptor.out); // whatever a recipe made of System.out

	private record Stamp(long second, String text) {
	}

	private static volatile Stamp stamp = new Stamp(-1, "");

	/** The threads of one recipe, also those that it starts. */
	static final class Group extends ThreadGroup {
		final Activity activity;
		private final Lines out = new Lines("recipe.out"), err = new Lines("recipe.err");

		@SuppressWarnings({ "deprecation", "removal" }) // as Runner's
		Group(ThreadGroup parent, Activity activity) {
			super(parent, name(activity));
			this.activity = activity;
			setDaemon(true);
		}

		/** Writes what has no end of line yet. */
		void flush() throws IOException {
			for (Lines lines : new Lines[] { out, err })
				lines.end(this);
		}
	}

	/** The line that has begun, of one stream of one recipe. */
	private static final class Lines {
		final String logger;
		final ByteArrayOutputStream begun = new ByteArrayOutputStream(128);
		OutputStream to; // where the last piece came from

		Lines(String logger) {
			this.logger = logger;
		}

		synchronized void add(Group group, OutputStream real, byte[] bytes, int start, int length) throws IOException {
			to = real;
			ByteArrayOutputStream whole = new ByteArrayOutputStream(length + 128);
			int at = start, end = start + length;
			for (int i = start; i < end; i++) {
				boolean isEnd = bytes[i] == '\n';
				if (!isEnd && begun.size() + i - at < LINE_BYTES)
					continue;
				begun.write(bytes, at, i - at);
				put(group, whole);
				at = isEnd ? i + 1 : i;
			}
			begun.write(bytes, at, end - at);
			if (whole.size() > 0)
				send(real, whole.toByteArray());
		}

		synchronized void end(Group group) throws IOException {
			if (begun.size() == 0)
				return;
			ByteArrayOutputStream whole = new ByteArrayOutputStream(begun.size() + 128);
			put(group, whole);
			send(to, whole.toByteArray());
		}

		private void put(Group group, ByteArrayOutputStream whole) {
			whole.writeBytes(prefix(group.getName(), "INFO", logger).getBytes(StandardCharsets.UTF_8));
			whole.writeBytes(begun.toByteArray());
			whole.write('\n');
			begun.reset();
		}
	}

	/** A stream of the process: what comes from a recipe's thread is tagged, all else passes. */
	private static final class Tagged extends OutputStream {
		private final FileOutputStream real;
		private final boolean isErr;

		Tagged(FileDescriptor fd) {
			real = new FileOutputStream(fd);
			isErr = fd == FileDescriptor.err;
		}

		@Override
		public void write(int b) throws IOException {
			write(new byte[] { (byte) b }, 0, 1);
		}

		@Override
		public void write(byte[] bytes, int start, int length) throws IOException {
			Group group = group();
			if (group == null)
				send(real, Arrays.copyOfRange(bytes, start, start + length));
			else
				(isErr ? group.err : group.out).add(group, real, bytes, start, length);
		}
	}

	private ActivityLog() {
	}

	/** From now on System.out and System.err tag. */
	static void install() {
		System.setOut(new PrintStream(new Tagged(FileDescriptor.out), true, StandardCharsets.UTF_8));
		System.setErr(new PrintStream(new Tagged(FileDescriptor.err), true, StandardCharsets.UTF_8));
	}

	static String name(Activity activity) {
		return "act." + activity.id;
	}

	/** The recipe that the calling thread belongs to; null: none. */
	static Group group() {
		for (ThreadGroup g = Thread.currentThread().getThreadGroup(); g != null; g = g.getParent())
			if (g instanceof Group found)
				return found;
		return null;
	}

	/** A line of the kernel about its job, or about one activity of it. A text of several lines becomes several. */
	static void say(Activity activity, String level, String text) {
		String prefix = prefix(activity == null ? "job" : name(activity), level, "dss.job");
		StringBuilder lines = new StringBuilder();
		for (String line : text.split("\n"))
			lines.append(prefix).append(Activity.line(line.replace('\t', ' '), LINE_BYTES)).append('\n');
		try {
			send(OUT, lines.toString().getBytes(StandardCharsets.UTF_8));
		} catch (IOException e) {
			// nobody reads our log any more: the job goes on
		}
	}

	/** One at a time: out and err may be one pipe, where long writes would mix. */
	private static void send(OutputStream real, byte[] bytes) throws IOException {
		synchronized (OUT) {
			real.write(bytes);
		}
	}

	static String prefix(String thread, String level, String logger) {
		long now = System.currentTimeMillis(), second = Math.floorDiv(now, 1000);
		Stamp last = stamp;
		if (last.second != second)
			stamp = last = new Stamp(second, SECOND.format(Instant.ofEpochSecond(second).atZone(ZONE)));
		String ms = String.valueOf(1000 + Math.floorMod(now, 1000)).substring(1);
		return "[" + last.text + "." + ms + "] [" + thread + "] [" + level + "] [" + logger + "]  - ";
	}
}
