package dss.kernel;

import com.google.gson.JsonArray;
import com.google.gson.JsonObject;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.net.InetSocketAddress;
import java.net.Socket;
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
	private static final int CONNECT_MS = 5000;
	private static final int ANSWER_MS = 30_000; // long: the keeper holds the backend's port open, our request may wait there for the next one
	private static final int ANSWER_BYTES = 64 * 1024;

	private final String host;
	private final int port;
	private final String kernelId;
	private final byte[] request;
	private final BooleanSupplier hasBackend;
	private final Semaphore lost = new Semaphore(0);
	private final Thread thread = new Thread(this::run, "kernel-announcer");
	private Socket socket;
	private long pauseMs = FIRST_PAUSE_MS;
	private String complaint = "";

	Announcer(Settings settings, String url, String[] types, BooleanSupplier hasBackend) {
		host = settings.backendHost;
		port = settings.backendPort;
		kernelId = settings.kernelId;
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
		String json = body.toString();
		request = ("POST /kernel/v1/ready HTTP/1.1\r\nHost: " + (host.contains(":") ? "[" + host + "]" : host) + ":" + port
				+ "\r\nAuthorization: Bearer " + new String(settings.kernelToken, StandardCharsets.US_ASCII)
				+ "\r\nContent-Type: application/json\r\nContent-Length: " + json.getBytes(StandardCharsets.UTF_8).length + "\r\n\r\n" + json)
				.getBytes(StandardCharsets.UTF_8);
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
				boolean[] isKept = new boolean[1];
				int status = ask(isKept);
				if (status == 200) {
					say("ready, known to the backend");
					return isKept[0];
				}
				say("the backend answered " + status + " to ready; asking again");
			} catch (IOException e) {
				say("unable to reach the backend at " + host + ":" + port + ": " + e.getMessage() + "; trying again");
			}
			hangUp();
			pause();
		}
	}

	private int ask(boolean[] isKept) throws IOException {
		socket = new Socket();
		socket.setTcpNoDelay(true);
		socket.setKeepAlive(true);
		socket.connect(new InetSocketAddress(host, port), CONNECT_MS);
		socket.setSoTimeout(ANSWER_MS);
		socket.getOutputStream().write(request);
		InputStream in = socket.getInputStream();
		String[] lines = readHead(in).toLowerCase().split("\r\n");
		if (!lines[0].startsWith("http/1.") || lines[0].length() < 12 || Settings.number(lines[0].substring(9, 12), 999) < 0)
			throw new IOException("that is no HTTP answer");
		int length = -1;
		isKept[0] = lines[0].startsWith("http/1.1");
		for (String line : lines) {
			if (line.startsWith("content-length:"))
				length = Settings.number(line.substring(15).strip(), ANSWER_BYTES);
			else if (line.startsWith("connection:") && line.contains("close"))
				isKept[0] = false;
		}
		if (length < 0)
			isKept[0] = false; // the body ends with the connection
		else if (in.readNBytes(length).length < length)
			throw new IOException("the connection was closed before the answer's end");
		return Settings.number(lines[0].substring(9, 12), 999);
	}

	private static String readHead(InputStream in) throws IOException {
		ByteArrayOutputStream head = new ByteArrayOutputStream();
		int ends = 0; // how much of \r\n\r\n stands at the end
		while (ends < 4) {
			int c = in.read();
			if (c < 0)
				throw new IOException("the connection was closed before the answer's end");
			if (head.size() >= ANSWER_BYTES)
				throw new IOException("the answer is over " + ANSWER_BYTES + " bytes");
			head.write(c);
			ends = c == (ends % 2 == 0 ? '\r' : '\n') ? ends + 1 : c == '\r' ? 1 : 0;
		}
		return head.toString(StandardCharsets.ISO_8859_1);
	}

	private void awaitLoss(boolean isKept) {
		if (!isKept) {
			hangUp();
			lost.acquireUninterruptibly();
			return;
		}
		try {
			socket.setSoTimeout(0);
			InputStream in = socket.getInputStream();
			while (in.read() >= 0)
				continue; // nothing is expected here but the end
		} catch (IOException e) {
			// its end, too
		}
		hangUp();
		while (hasBackend.getAsBoolean())
			lost.acquireUninterruptibly(); // it only closed what it did not need
	}

	private void hangUp() {
		try {
			if (socket != null)
				socket.close();
		} catch (IOException e) {
			// nothing is left to do with it
		}
		socket = null;
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
		System.err.println("kernel " + kernelId + ": " + text);
	}
}
