package dss.kernel;

import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.CodingErrorAction;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Map;

/**
 * HTTP/1.1 as bytes: takes requests from a buffer, makes answers. No sockets, no meaning. Strict on purpose, as whoever shares
 * the host may connect: Content-Length only, CRLF only, no folding, no doubled headers that steer, bounded head and body.
 */
final class Http {
	static final int HEAD_BYTES = 16 * 1024;
	static final int BODY_BYTES = 16 * 1024 * 1024;
	private static final int TARGET_CHARS = 4096, METHOD_CHARS = 16, PARAMETERS = 16;
	static final byte[] CONTINUE = "HTTP/1.1 100 Continue\r\n\r\n".getBytes(StandardCharsets.US_ASCII);
	private static final String TOKEN = "!#$%&'*+.^_`|~-";
	private static final String SINGLE = " host content-length authorization transfer-encoding ";

	private Http() {
	}

	/** Bytes that came and are not understood yet. */
	static final class Input {
		byte[] bytes = new byte[4096];
		int start, end;

		int size() {
			return end - start;
		}

		void add(ByteBuffer from) {
			int n = from.remaining();
			if (end + n > bytes.length) {
				byte[] larger = size() + n > bytes.length ? new byte[Math.max(2 * bytes.length, size() + n)] : bytes;
				System.arraycopy(bytes, start, larger, 0, size());
				end -= start;
				start = 0;
				bytes = larger;
			}
			from.get(bytes, end, n);
			end += n;
		}

		byte[] take(int n) {
			byte[] taken = new byte[n];
			System.arraycopy(bytes, start, taken, 0, n);
			skip(n);
			return taken;
		}

		void skip(int n) {
			start += n;
			if (start == end) {
				start = end = 0;
				if (bytes.length > 256 * 1024)
					bytes = new byte[4096];
			}
		}
	}

	/** One request; the body comes later. */
	static final class Request {
		final String method, path, query;
		final Map<String, String> headers;
		final int bodyBytes;
		final boolean keepsAlive;
		byte[] body = new byte[0];

		Request(String method, String target, Map<String, String> headers, boolean isOne) throws Refuse {
			this.method = method;
			int mark = target.indexOf('?');
			path = unquote(mark < 0 ? target : target.substring(0, mark), false);
			query = mark < 0 ? "" : target.substring(mark + 1);
			this.headers = headers;
			bodyBytes = lengthOf(method, headers);
			keepsAlive = isOne && !headers.getOrDefault("connection", "").toLowerCase().contains("close");
		}

		/** A query parameter, or null. One that stands twice is refused. */
		Map<String, String> parameters() throws Refuse {
			Map<String, String> found = new HashMap<>();
			if (query.isEmpty())
				return found;
			String[] pairs = query.split("&", PARAMETERS + 1);
			if (pairs.length > PARAMETERS)
				throw new Refuse(400, "the query cannot be read");
			for (String pair : pairs) {
				int eq = pair.indexOf('=');
				if (eq < 0)
					continue;
				if (found.put(unquote(pair.substring(0, eq), true), unquote(pair.substring(eq + 1), true)) != null)
					throw new Refuse(400, "a query parameter stands twice");
			}
			return found;
		}
	}

	/** Takes one request's head off the front. Null: more must come. */
	static Request takeHead(Input in) throws Refuse {
		int length = headLength(in);
		if (length < 0) {
			if (in.size() >= HEAD_BYTES)
				throw new Refuse(431, "the head is over the limit of " + HEAD_BYTES + " bytes");
			if (in.size() > 0 && !isLetter(in.bytes[in.start]))
				throw new Refuse(400, "this is no HTTP request");
			return null;
		}
		String[] lines = new String(in.bytes, in.start, length, StandardCharsets.ISO_8859_1).split("\r\n", -1);
		in.skip(length + 4);
		String[] first = lines[0].split(" ", -1);
		if (first.length == 3 && first[2].startsWith("HTTP/") && !first[2].startsWith("HTTP/1"))
			throw new Refuse(505, "only HTTP/1.1 is spoken here");
		if (first.length != 3 || !isMethod(first[0]) || !isTarget(first[1]) || !first[2].equals("HTTP/1.1") && !first[2].equals("HTTP/1.0"))
			throw new Refuse(400, "the request line cannot be read");
		Map<String, String> headers = new HashMap<>();
		for (int i = 1; i < lines.length; i++)
			addHeader(headers, lines[i]);
		return new Request(first[0], first[1], headers, first[2].equals("HTTP/1.1"));
	}

	/** Up to the empty line, or -1. */
	private static int headLength(Input in) {
		byte[] b = in.bytes;
		int last = Math.min(in.end, in.start + HEAD_BYTES) - 3;
		for (int i = in.start; i < last; i++)
			if (b[i] == '\r' && b[i + 1] == '\n' && b[i + 2] == '\r' && b[i + 3] == '\n')
				return i - in.start;
		return -1;
	}

	private static void addHeader(Map<String, String> headers, String line) throws Refuse {
		int colon = line.indexOf(':');
		boolean isGood = colon > 0;
		for (int i = 0; isGood && i < line.length(); i++) {
			char c = line.charAt(i);
			isGood = i < colon ? isLetter((byte) c) && c < 0x80 || c >= '0' && c <= '9' || TOKEN.indexOf(c) >= 0
					: c == '\t' || c >= 0x20 && c != 0x7f;
		}
		if (!isGood)
			throw new Refuse(400, "a header line cannot be read");
		String name = line.substring(0, colon).toLowerCase();
		String before = headers.put(name, line.substring(colon + 1).strip());
		if (before != null && SINGLE.contains(" " + name + " "))
			throw new Refuse(400, "header " + name + " stands twice");
	}

	private static int lengthOf(String method, Map<String, String> headers) throws Refuse {
		if (headers.containsKey("transfer-encoding"))
			throw new Refuse(501, "transfer-encoding is not taken; send Content-Length");
		String said = headers.get("content-length");
		if (said == null) {
			if (method.equals("POST") || method.equals("PUT") || method.equals("PATCH"))
				throw new Refuse(411, "a " + method + " needs Content-Length");
			return 0;
		}
		int length = Settings.number(said, Integer.MAX_VALUE);
		if (length < 0)
			throw new Refuse(400, "Content-Length is no number");
		if (length > BODY_BYTES)
			throw new Refuse(413, "the body is over the limit of " + BODY_BYTES + " bytes");
		return length;
	}

	private static boolean isLetter(byte c) {
		return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z';
	}

	private static boolean isMethod(String s) {
		return !s.isEmpty() && s.length() <= METHOD_CHARS && isBetween(s, 'A', 'Z');
	}

	private static boolean isTarget(String s) {
		return s.startsWith("/") && s.length() <= TARGET_CHARS && isBetween(s, '!', '~');
	}

	/** All characters from {@code least} to {@code most}. No stream: they cost a starting JVM 10 ms. */
	static boolean isBetween(String s, char least, char most) {
		for (int i = 0; i < s.length(); i++)
			if (s.charAt(i) < least || s.charAt(i) > most)
				return false;
		return true;
	}

	private static String unquote(String s, boolean plusIsBlank) throws Refuse {
		if (s.indexOf('%') < 0 && !(plusIsBlank && s.indexOf('+') >= 0))
			return s;
		byte[] out = new byte[s.length()];
		int n = 0;
		for (int i = 0; i < s.length(); i++) {
			char c = s.charAt(i);
			if (c == '%') {
				int high = i + 2 < s.length() ? Character.digit(s.charAt(i + 1), 16) : -1;
				int low = i + 2 < s.length() ? Character.digit(s.charAt(i + 2), 16) : -1;
				if (high < 0 || low < 0)
					throw new Refuse(400, "the address cannot be read");
				out[n++] = (byte) (high << 4 | low);
				i += 2;
			} else {
				out[n++] = (byte) (plusIsBlank && c == '+' ? ' ' : c);
			}
		}
		try {
			return StandardCharsets.UTF_8.newDecoder().onMalformedInput(CodingErrorAction.REPORT).decode(ByteBuffer.wrap(out, 0, n)).toString();
		} catch (CharacterCodingException e) {
			throw new Refuse(400, "the address cannot be read");
		}
	}

	/** An answer's head and body, to be sent in one segment. {@code body} is JSON. */
	static byte[] answer(int status, byte[] body, boolean keepsAlive) {
		byte[] head = ("HTTP/1.1 " + status + " " + reason(status) + "\r\nContent-Type: application/json\r\nContent-Length: " + body.length
				+ (keepsAlive ? "\r\n\r\n" : "\r\nConnection: close\r\n\r\n")).getBytes(StandardCharsets.US_ASCII);
		byte[] all = new byte[head.length + body.length];
		System.arraycopy(head, 0, all, 0, head.length);
		System.arraycopy(body, 0, all, head.length, body.length);
		return all;
	}

	private static String reason(int status) {
		return switch (status) {
		case 200 -> "OK";
		case 202 -> "Accepted";
		case 400 -> "Bad Request";
		case 401 -> "Unauthorized";
		case 404 -> "Not Found";
		case 405 -> "Method Not Allowed";
		case 408 -> "Request Timeout";
		case 409 -> "Conflict";
		case 411 -> "Length Required";
		case 413 -> "Content Too Large";
		case 431 -> "Request Header Fields Too Large";
		case 501 -> "Not Implemented";
		case 503 -> "Service Unavailable";
		case 505 -> "HTTP Version Not Supported";
		default -> "Internal Server Error";
		};
	}
}
