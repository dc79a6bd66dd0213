package dss.kernel;

import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.function.Function;

/** Start and end of a kernel, in order. */
public final class Main {
	static final int EXIT_USAGE = 64; // started wrongly; trying again will not help
	static final int EXIT_UNAVAILABLE = 69;
	static final int EXIT_BROKEN = 70;
	static final int EXIT_LEASE = 75;
	static final long LEAVE_MS = 5_000; // for shutdown hooks that tasks left behind

	private static volatile boolean isExiting;

	private Main() {
	}

	/** Exits 0 when asked to end, 64 when started wrongly, 69 when it cannot listen, 3 (by the JVM's flag) when the heap is full. */
	public static void serveFutures() {
		start("future", "DSSFutureKernelMain", settings -> new FutureTrade());
	}

	/** As {@link #serveFutures}; what its recipes print is tagged with their activity. */
	public static void serveJobs() {
		start("job", "DSSJobKernelMain", settings -> {
			ActivityLog.install();
			return new JobTrade(settings);
		});
	}

	private static void start(String kind, String mark, Function<Settings, Trade> trade) {
		// Logs are UTF-8, whatever locale the environment has.
		System.setOut(new PrintStream(new FileOutputStream(FileDescriptor.out), true, StandardCharsets.UTF_8));
		System.setErr(new PrintStream(new FileOutputStream(FileDescriptor.err), true, StandardCharsets.UTF_8));
		Settings settings = null;
		Server server = null;
		try {
			settings = new Settings(kind, mark);
			server = new Server(settings.listenHost, settings.listenPort);
		} catch (Settings.Wrong e) {
			fail(EXIT_USAGE, e.getMessage());
		} catch (IOException e) {
			fail(EXIT_UNAVAILABLE, "unable to listen on " + settings.listenHost + ":" + settings.listenPort + ": " + e.getMessage());
		}
		serve(settings, server, trade.apply(settings));
	}

	/** Does not return. */
	static void serve(Settings settings, Server server, Trade trade) {
		Desk desk = new Desk(server::wake);
		Runner runner = new Runner(desk, trade);
		Routes routes = new Routes(settings, desk, runner, trade);
		String host = settings.listenHost.contains(":") ? "[" + settings.listenHost + "]" : settings.listenHost;
		Announcer announcer = new Announcer(settings, "http://" + host + ":" + server.port(), trade.types(), server::hasBackend);
		Runtime.getRuntime().addShutdownHook(new Thread(() -> onExit(desk, routes, server), "kernel-exit"));
		Warmup.run(routes, trade);
		server.start(routes, announcer::lose);
		announcer.start();
		desk.awaitEnd();
		server.close();
		exit(0);
	}

	/** The process ends: by us, by SIGTERM, or because a task called System.exit. */
	private static void onExit(Desk desk, Routes routes, Server server) {
		if (isExiting)
			return;
		Thread caller = exitCaller();
		Task task = desk.task();
		if (caller == null) {
			routes.leave();
			desk.awaitEnd();
		} else if (task != null && task.isRunning()) {
			if (task.detail != null)
				task.detail.leave(caller);
			desk.finish(task, null, Outcome.error("SystemExit", "the task called System.exit, which would end the kernel, not the task;"
					+ " throw an exception instead", Outcome.stack(caller.getStackTrace())));
		}
		server.close();
		Runtime.getRuntime().halt(caller == null ? 0 : 1);
	}

	/** The thread that called System.exit; null when it was a signal. */
	private static Thread exitCaller() {
		for (var entry : Thread.getAllStackTraces().entrySet())
			for (StackTraceElement frame : entry.getValue())
				if (frame.getClassName().equals("java.lang.Runtime") && frame.getMethodName().equals("exit"))
					return entry.getKey();
		return null;
	}

	/** Never waits for threads or hooks that tasks left behind. */
	static void exit(int status) {
		isExiting = true;
		Thread last = new Thread(() -> {
			try {
				Thread.sleep(LEAVE_MS);
			} catch (InterruptedException e) {
				// then at once
			}
			Runtime.getRuntime().halt(status);
		}, "kernel-halt");
		last.setDaemon(true);
		last.start();
		System.exit(status);
	}

	static void log(String text) {
		System.err.println("kernel: " + text);
	}

	private static void fail(int status, String text) {
		System.err.println("unable to start the kernel: " + text);
		System.exit(status);
	}
}
