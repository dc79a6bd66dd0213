package dss.kernel;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import java.io.ByteArrayOutputStream;
import java.io.FileInputStream;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.net.URI;
import java.net.URISyntaxException;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/**
 * What the kernel was told at its start. Secrets come by a pipe (or, for remote kernels, by one variable) and leave no trace
 * that a task, a child or a reader of /proc/PID/environ could find.
 */
final class Settings {
	private static final int SECRETS_BYTES = 64 * 1024; // also what a pipe holds without a reader
	private static final int ENVIRON_BYTES = 4 * 1024 * 1024; // over what the Linux kernel hands to a process

	/** A setting is missing or makes no sense; the text says which and why. */
	static final class Wrong extends Exception {
		Wrong(String message) {
			super(message);
		}
	}

	final String kernelId, backendHost, listenHost;
	final int backendPort, listenPort;
	final double leaseS;
	final byte[] kernelToken, taskToken;

	/** {@code mark}: the main class. */
	Settings(String kindWanted, String mark) throws Wrong {
		// Before anything asks System.getenv, which keeps a copy of the environment for life.
		String fd = takeVariable("DSS_KERNEL_SECRETS_FD");
		String secrets = takeVariable("DSS_KERNEL_SECRETS");
		kernelId = required("DSS_KERNEL_ID");
		if (!isId(kernelId))
			throw new Wrong("DSS_KERNEL_ID is no id: " + kernelId);
		String kind = optional("DSS_KERNEL_KIND", kindWanted);
		if (!kind.equals(kindWanted))
			throw new Wrong("DSS_KERNEL_KIND is '" + kind + "'; " + mark + " is for kind '" + kindWanted + "' only");
		URI backend = backend(required("DSS_BACKEND_URL"));
		backendHost = backend.getHost().replace("[", "").replace("]", "");
		backendPort = backend.getPort() < 0 ? 80 : backend.getPort();
		String listen = optional("DSS_KERNEL_LISTEN", "127.0.0.1:0");
		int colon = listen.lastIndexOf(':');
		listenPort = colon > 0 ? number(listen.substring(colon + 1), 65535) : -1;
		if (listenPort < 0)
			throw new Wrong("DSS_KERNEL_LISTEN must read host:port, not '" + listen + "'");
		listenHost = listen.substring(0, colon).replace("[", "").replace("]", "");
		leaseS = lease(optional("DSS_KERNEL_LEASE_S", "0"));
		byte[][] tokens = tokens(secrets, fd);
		kernelToken = tokens[0];
		taskToken = tokens[1];
	}

	/** For a rehearsal: a kernel that nobody started. */
	Settings(String backendHost, int backendPort, String token) {
		kernelId = "rehearsal";
		this.backendHost = backendHost;
		this.backendPort = backendPort;
		listenHost = "127.0.0.1";
		listenPort = 0;
		leaseS = 0;
		kernelToken = taskToken = token.getBytes(StandardCharsets.US_ASCII);
	}

	/** One grammar for ids, as everywhere in the node. */
	static boolean isId(String s) {
		if (s.isEmpty() || s.length() > 128 || s.contains(".."))
			return false;
		for (int i = 0; i < s.length(); i++) {
			char c = s.charAt(i);
			boolean isWord = c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_';
			if (!isWord && (i == 0 || ".:()-".indexOf(c) < 0))
				return false;
		}
		return true;
	}

	/** A decimal number from 0 to most; -1 for anything else. */
	static int number(String s, int most) {
		if (s.isEmpty() || s.length() > 9)
			return -1;
		for (int i = 0; i < s.length(); i++)
			if (s.charAt(i) < '0' || s.charAt(i) > '9')
				return -1;
		int n = Integer.parseInt(s);
		return n <= most ? n : -1;
	}

	private static String required(String name) throws Wrong {
		String value = optional(name, "");
		if (value.isEmpty())
			throw new Wrong(name + " is not set");
		return value;
	}

	private static String optional(String name, String otherwise) {
		String value = System.getenv(name);
		return value == null || value.isEmpty() ? otherwise : value;
	}

	private static URI backend(String url) throws Wrong {
		try {
			URI uri = new URI(url);
			String path = uri.getPath() == null ? "" : uri.getPath().replace("/", "");
			if ("http".equals(uri.getScheme()) && uri.getHost() != null && path.isEmpty() && uri.getQuery() == null
					&& uri.getUserInfo() == null)
				return uri;
		} catch (URISyntaxException e) {
			// told below
		}
		throw new Wrong("DSS_BACKEND_URL must read http://host:port, not '" + url + "'");
	}

	private static double lease(String text) throws Wrong {
		double seconds = -1;
		try {
			seconds = Double.parseDouble(text);
		} catch (NumberFormatException e) {
			// told below
		}
		if (!(seconds >= 0 && seconds < 1e9))
			throw new Wrong("DSS_KERNEL_LEASE_S must be seconds, 0 for none, not '" + text + "'");
		return seconds;
	}

	private static byte[][] tokens(String secrets, String fd) throws Wrong {
		byte[] text;
		if (fd != null)
			text = readPipe(fd);
		else if (secrets != null)
			text = secrets.getBytes(StandardCharsets.UTF_8);
		else
			throw new Wrong("neither DSS_KERNEL_SECRETS_FD nor DSS_KERNEL_SECRETS is set");
		byte[][] tokens = new byte[2][];
		try {
			JsonObject told = Json.parse(text).getAsJsonObject();
			tokens[0] = token(told.get("kernelToken"));
			tokens[1] = token(told.get("taskToken"));
		} catch (Json.Bad | RuntimeException e) {
			// Neither the cause nor the input: what was read may hold half a token.
			throw new Wrong("the secrets must be {\"kernelToken\",\"taskToken\"} as JSON");
		}
		if (tokens[0] == null || tokens[1] == null)
			throw new Wrong("the secrets must be {\"kernelToken\",\"taskToken\"} as JSON, each with 8 to 512 printable characters");
		return tokens;
	}

	private static byte[] token(JsonElement told) {
		String s = told.getAsJsonPrimitive().isString() ? told.getAsString() : "";
		boolean isGood = s.length() >= 8 && s.length() <= 512 && Http.isBetween(s, '!', '~');
		return isGood ? s.getBytes(StandardCharsets.US_ASCII) : null;
	}

	/** The descriptor itself cannot be closed from Java; the pipe is empty afterwards, and children do not inherit it. */
	private static byte[] readPipe(String fd) throws Wrong {
		if (number(fd, 1 << 20) < 0)
			throw new Wrong("DSS_KERNEL_SECRETS_FD is no file descriptor: '" + fd + "'");
		try {
			return read("/proc/self/fd/" + fd, SECRETS_BYTES + 1);
		} catch (IOException e) {
			throw new Wrong("unable to read the secrets from file descriptor " + fd + ": " + e.getMessage());
		}
	}

	/** Not by java.nio: a starting JVM has java.io at hand. */
	private static byte[] read(String path, int mostBytes) throws IOException {
		ByteArrayOutputStream all = new ByteArrayOutputStream();
		byte[] some = new byte[4096];
		try (FileInputStream in = new FileInputStream(path)) { // its readNBytes seeks, which a pipe cannot
			for (int n = in.read(some); n > 0 && all.size() < mostBytes; n = in.read(some))
				all.write(some, 0, n);
		}
		return all.toByteArray();
	}

	/** A variable's value; it is wiped from the process's environment. Null: not set. */
	static String takeVariable(String name) throws Wrong {
		try {
			byte[] environ = read("/proc/self/environ", ENVIRON_BYTES);
			byte[] start = (name + "=").getBytes(StandardCharsets.US_ASCII);
			for (int at = 0; at < environ.length;) {
				int end = at;
				while (end < environ.length && environ[end] != 0)
					end++;
				if (end - at >= start.length && Arrays.equals(environ, at, at + start.length, start, 0, start.length)) {
					wipe(at, end - at);
					return new String(environ, at + start.length, end - at - start.length, StandardCharsets.UTF_8);
				}
				at = end + 1;
			}
			return null;
		} catch (IOException e) {
			throw new Wrong("unable to take " + name + " out of the environment: " + e.getMessage());
		}
	}

	private static void wipe(int offset, int length) throws IOException {
		String stat = new String(read("/proc/self/stat", 4096), StandardCharsets.ISO_8859_1);
		String[] fields = stat.substring(stat.lastIndexOf(')') + 2).split(" ");
		long environStart = Long.parseLong(fields[47]); // env_start, field 50 of proc(5)
		if (environStart == 0)
			throw new IOException("its place in memory is hidden");
		try (RandomAccessFile memory = new RandomAccessFile("/proc/self/mem", "rw")) {
			memory.seek(environStart + offset);
			memory.write(new byte[length]);
		}
	}
}
