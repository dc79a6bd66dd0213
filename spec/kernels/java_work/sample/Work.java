package sample;

import dss.FutureThread;
import dss.Progress;
import java.io.File;
import java.io.FileWriter;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.CountDownLatch;

/** What the checks let a kernel run; the names are those of the Python checks. */
public class Work implements FutureThread<Object> {
	String name;
	List<Object> args = new ArrayList<>();
	private transient CountDownLatch hook = new CountDownLatch(1);

	public static class Odd extends RuntimeException {
		@Override
		public String getMessage() {
			throw new IllegalStateException("no text");
		}
	}

	public static class Cycle {
		List<Cycle> b = new ArrayList<>();
	}

	public enum Kind implements FutureThread<Object> {
		ONE;

		@Override
		public Object run() {
			return null;
		}
	}

	public abstract static class Half implements FutureThread<Object> {
	}

	public class Inner implements FutureThread<Object> {
		@Override
		public Object run() {
			return null;
		}
	}

	/** Has no constructor without arguments. */
	public static class Bare implements FutureThread<Integer> {
		private final int n;

		Bare(int n) {
			this.n = n;
		}

		@Override
		public Integer run() {
			return n;
		}
	}

	@Override
	public void abort() {
		hook.countDown();
	}

	private String text(int i) {
		return (String) args.get(i);
	}

	private int number(int i) {
		return ((Number) args.get(i)).intValue();
	}

	@Override
	public Object run() throws Exception {
		switch (name) {
		case "add":
			return (args.isEmpty() ? 0 : number(0)) + 1;
		case "environ":
			return new HashMap<>(System.getenv());
		case "big":
			return "x".repeat(number(0));
		case "not_a_number":
			return Map.of("rows", List.of(1.0, Map.of("mean", Double.NaN)));
		case "cyclic":
			Cycle c = new Cycle();
			c.b.add(c);
			return c;
		case "a_thread":
			return Map.of("x", List.of(Thread.currentThread()));
		case "half":
			return List.of("\ud800");
		case "twice":
			return new HashMap<Object, String>(Map.of(1, "a", "1", "b"));
		case "nothing_at_all":
			return null;
		case "deep":
			List<Object> a = new ArrayList<>();
			for (int i = 0; i < 100_000; i++)
				a = new ArrayList<>(List.of(a));
			return a;
		case "raises":
			try {
				throw new IOException("/no/such/file");
			} catch (IOException e) {
				throw new IllegalArgumentException("no input", e);
			}
		case "odd":
			throw new Odd();
		case "leaves":
			System.exit(3);
			return null;
		case "recurses":
			return recurse(1) + 1;
		case "direct":
			return java.nio.ByteBuffer.allocateDirect(Integer.MAX_VALUE);
		default:
			return runLong();
		}
	}

	private Object runLong() throws Exception {
		switch (name) {
		case "spins":
			Progress.report(0.1, "spinning");
			while (!Progress.isAborted())
				Thread.onSpinWait();
			return "left early";
		case "sleeps":
			Progress.report(0.1, "sleeping");
			Thread.sleep(3_600_000);
			return null;
		case "stubborn":
			Progress.report(0.1, "first");
			try {
				Thread.sleep(3_600_000);
			} catch (InterruptedException e) {
				Progress.report(0.2, "swallowed one");
			}
			Thread.sleep(3_600_000);
			return null;
		case "polite":
			Progress.report(0.1, "polite");
			while (!Progress.isAborted())
				Thread.onSpinWait();
			return "left early";
		case "hooked":
			Progress.report(0.1, "hooked");
			while (hook.getCount() > 0)
				try {
					hook.await();
				} catch (InterruptedException e) {
					continue; // only abort() ends it
				}
			return "by the hook";
		case "tidies":
			try {
				Progress.report(0.1, "in");
				Thread.sleep(3_600_000);
			} finally {
				append(text(0), "tidied");
			}
			return null;
		case "counts":
			append(text(0), "x");
			return new File(text(0)).length();
		case "steps":
			for (int i = 0; i < 3; i++) {
				Progress.report(i / 4.0, "step " + i);
				while (!new File(text(0) + i).exists())
					Thread.sleep(5);
			}
			return "end";
		case "chatters":
			for (int i = 0; i < 300_000; i++)
				Progress.report(i / 300_000.0, Integer.toString(i));
			return "end";
		case "bad_progress":
			Progress.report(Double.NaN);
			return null;
		default:
			return runAround();
		}
	}

	private Object runAround() throws Exception {
		switch (name) {
		case "which_thread":
			return List.of(Thread.currentThread().getName(), Thread.currentThread().getContextClassLoader() == Work.class.getClassLoader());
		case "moves":
			System.setProperty("moved", "1");
			Locale.setDefault(Locale.JAPAN);
			System.setOut(null);
			System.setErr(null);
			return null;
		case "where":
			return List.of(System.getProperty("moved", "none"), Locale.getDefault().toString(), System.out != null);
		case "prints":
			System.out.println("a line of ünïcode");
			System.out.print("raw\n");
			return null;
		case "leaves_thread":
			Thread left = new Thread(() -> {
				try {
					Thread.sleep(3_600_000);
				} catch (InterruptedException e) {
					return;
				}
			}, "left one");
			left.start();
			return null;
		case "path":
			return Path.of("ünï").toString();
		default:
			throw new IllegalArgumentException("no such work: " + name);
		}
	}

	private static int recurse(int n) {
		return recurse(n + 1) + 1;
	}

	private static void append(String path, String text) throws IOException {
		try (FileWriter out = new FileWriter(path, true)) {
			out.write(text);
		}
	}
}
