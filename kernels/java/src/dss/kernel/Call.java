package dss.kernel;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.nio.charset.StandardCharsets;

/** One request to the backend, on a connection of its own. {@link #close} from any thread ends a request under way. */
final class Call implements AutoCloseable {
	private static final int CONNECT_MS = 5000;
	private static final int ANSWER_BYTES = 64 * 1024;

	/** {@code isKept}: the backend keeps the connection open. */
	record Answer(int status, byte[] body, boolean isKept) {
	}

	private final Settings settings;
	private final Socket socket = new Socket();

	Call(Settings settings) {
		this.settings = settings;
	}

	/** {@code body} null: none. {@code answerMs}: the longest silence while we wait for the answer. */
	Answer ask(String method, String target, byte[] body, int answerMs, boolean keeps) throws IOException {
		socket.setTcpNoDelay(true);
		socket.setKeepAlive(true);
		socket.connect(new InetSocketAddress(settings.backendHost, settings.backendPort), CONNECT_MS);
		socket.setSoTimeout(answerMs);
		String host = settings.backendHost.contains(":") ? "[" + settings.backendHost + "]" : settings.backendHost;
		String head = method + " " + target + " HTTP/1.1\r\nHost: " + host + ":" + settings.backendPort + "\r\nAuthorization: Bearer "
				+ new String(settings.kernelToken, StandardCharsets.US_ASCII) + "\r\n" + (keeps ? "" : "Connection: close\r\n")
				+ (body == null ? "" : "Content-Type: application/json\r\nContent-Length: " + body.length + "\r\n") + "\r\n";
		ByteArrayOutputStream request = new ByteArrayOutputStream();
		request.writeBytes(head.getBytes(StandardCharsets.US_ASCII));
		if (body != null)
			request.writeBytes(body);
		socket.getOutputStream().write(request.toByteArray());
		return read(socket.getInputStream());
	}

	private static Answer read(InputStream in) throws IOException {
		String[] lines = readHead(in).toLowerCase().split("\r\n");
		int status = lines[0].startsWith("http/1.") && lines[0].length() >= 12 ? Settings.number(lines[0].substring(9, 12), 999) : -1;
		if (status < 0)
			throw new IOException("that is no HTTP answer");
		int length = -1;
		boolean isKept = lines[0].startsWith("http/1.1");
		for (String line : lines) {
			if (line.startsWith("content-length:"))
				length = Settings.number(line.substring(15).strip(), ANSWER_BYTES);
			else if (line.startsWith("connection:") && line.contains("close"))
				isKept = false;
		}
		// Without a length the body ends with the connection.
		byte[] body = in.readNBytes(length < 0 ? ANSWER_BYTES : length);
		if (body.length < length)
			throw new IOException("the connection was closed before the answer's end");
		return new Answer(status, body, isKept && length >= 0);
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

	/** Sleeps until the backend closes a kept connection, or is gone. */
	void awaitEnd() {
		try {
			socket.setSoTimeout(0);
			InputStream in = socket.getInputStream();
			while (in.read() >= 0)
				continue; // nothing is expected here but the end
		} catch (IOException e) {
			// its end, too
		}
	}

	@Override
	public void close() {
		try {
			socket.close();
		} catch (IOException e) {
			// nothing is left to do with it
		}
	}
}
