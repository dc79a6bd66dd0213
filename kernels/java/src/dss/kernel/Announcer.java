package dss.kernel;

import com.google.gson.JsonArray;
import com.google.gson.JsonObject;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.Semaphore;
import java.util.function.BooleanSupplier;

/**
 * Tells the backend that this kernel is ready: at the start until it says 200, and again whenever the backend was lost.
 * Lost means: neither the connection on which we announced nor any that the backend opened to us is left. The announcing
 * connection is kept open for that alone: when the backend dies, the Linux kernel closes it, and we sleep until then.
 */
final class Announcer {
	private static final long FIRST_PAUSE_MS = 50, LONGEST_PAUSE_MS = 5000;
	private static final int ANSWER_MS = 30_000; // long: the keeper holds the backend's port open, our request may wait there for the next one

	private final Settings settings;
	private final byte[] request;
	private final BooleanSupplier hasBackend;
	private final Semaphore lost = new Semaphore(0);
	private final Thread thread = new Thread(this::run, "kernel-announcer");
	private Call call;
	private long pauseMs = FIRST_PAUSE_MS;
	private String complaint = "";

	Announcer(Settings settings, String url, String[] types, BooleanSupplier hasBackend) {
		this.settings = settings;
		this.hasBackend = hasBackend;
		JsonObject body = new JsonObject();
		body.addProperty("kernelId", settings.kernelId);
		body.addProperty("url", url);
		body.addProperty("pid", ProcessHandle.current().pid());
		body.addProperty("protocol", 1);
		JsonArray list = new JsonArray();
		for (String type : types)
			list.add(type);
		body.add("types", list);
		request = body.toString().getBytes(StandardCharsets.UTF_8);
		thread.setDaemon(true);
	}

	void start() {
		thread.start();
	}

	/** The backend's last connection to us has gone. */
	void lose() {
		lost.release();
	}

	private void run() {
		while (true) {
			lost.drainPermits();
			boolean isKept = announce();
			long acceptedAt = System.nanoTime();
			awaitLoss(isKept);
			if (System.nanoTime() - acceptedAt >= LONGEST_PAUSE_MS * 1_000_000)
				pauseMs = FIRST_PAUSE_MS;
			else
				pause(); // accepted and dropped at once: do not hammer
		}
	}

	/** Until 200. Returns whether the connection stays open. */
	private boolean announce() {
		while (true) {
			try {
				call = new Call(settings);
				Call.Answer answer = call.ask("POST", "/kernel/v1/ready", request, ANSWER_MS, true);
				if (answer.status() == 200) {
					say("ready, known to the backend");
					return answer.isKept();
				}
				say("the backend answered " + answer.status() + " to ready; asking again");
			} catch (IOException e) {
				say("unable to reach the backend at " + settings.backendHost + ":" + settings.backendPort + ": " + e.getMessage() + "; trying again");
			}
			call.close();
			pause();
		}
	}

	private void awaitLoss(boolean isKept) {
		if (!isKept) {
			call.close();
			lost.acquireUninterruptibly();
			return;
		}
		call.awaitEnd();
		call.close();
		while (hasBackend.getAsBoolean())
			lost.acquireUninterruptibly(); // it only closed what it did not need
	}

	private void pause() {
		try {
			Thread.sleep(pauseMs);
		} catch (InterruptedException e) {
			// sooner, then
		}
		pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS);
	}

	/** Once per change: a backend that is away for an hour is one line. */
	private void say(String text) {
		if (text.equals(complaint))
			return;
		complaint = text;
		System.err.println("kernel " + settings.kernelId + ": " + text);
	}
}
