package dss.kernel;

import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.gson.JsonObject;
import com.google.gson.stream.JsonWriter;
import java.io.ByteArrayOutputStream;
import java.io.FilterWriter;
import java.io.IOException;
import java.io.OutputStream;
import java.io.OutputStreamWriter;
import java.io.Writer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.CodingErrorAction;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * What comes out of a task: a value as strict JSON, or a Throwable as {"clazz","message","stack","cause"?}. Each error names
 * what was wrong and where: {@code result.rows[3].mean is NaN, which JSON cannot hold}.
 */
final class Outcome {
	static final int RESULT_BYTES = 64 * 1024 * 1024; // larger results belong into a dataset or a file
	private static final int DEPTH = 500; // the deepest nesting that any reader of ours takes
	private static final int MESSAGE_CHARS = 16 * 1024, STACK_CHARS = 64 * 1024, CAUSES = 8;
	// NaN is let through to StrictWriter, which knows where it stands.
	private static final GsonBuilder BUILDER = new GsonBuilder().disableHtmlEscaping().serializeNulls().serializeSpecialFloatingPointValues();

	/** The task's value cannot be a result. */
	static final class BadResult extends IOException {
		BadResult(String message) {
			super(message);
		}
	}

	private Outcome() {
	}

	/** One for each task: it keeps what it learnt about classes, and with them their loader, for as long as it lives. */
	static Gson gson() {
		return BUILDER.create();
	}

	/** A task's value as JSON bytes. */
	static byte[] toJson(Gson gson, Object value) throws BadResult {
		if (value == null)
			return new byte[] { 'n', 'u', 'l', 'l' };
		Limited bytes = new Limited();
		Writer text = new Pieces(new OutputStreamWriter(bytes, StandardCharsets.UTF_8.newEncoder()
				.onMalformedInput(CodingErrorAction.REPORT).onUnmappableCharacter(CodingErrorAction.REPORT)));
		StrictWriter out = new StrictWriter(text);
		try {
			gson.toJson(value, value.getClass(), out);
			text.flush();
			return bytes.toByteArray();
		} catch (StackOverflowError e) {
			throw new BadResult("the result is nested too deeply for JSON, or contains itself");
		} catch (CharacterCodingException e) {
			throw new BadResult("near " + out.place() + " is text with half a character (a lone surrogate), which JSON cannot hold");
		} catch (BadResult e) {
			throw e;
		} catch (IOException | RuntimeException e) {
			for (Throwable t = e; t != null; t = t.getCause()) {
				if (t instanceof BadResult bad)
					throw bad;
				if (t instanceof CharacterCodingException)
					throw new BadResult("near " + out.place() + " is text with half a character (a lone surrogate), which JSON cannot hold");
			}
			throw new BadResult(out.place() + " cannot be JSON: " + messageOf(e));
		}
	}

	/** Cuts long texts: an OutputStreamWriter makes a copy of whatever it is given at once, two bytes a character. */
	private static final class Pieces extends FilterWriter {
		private static final int CHARS = 8192;

		Pieces(Writer to) {
			super(to);
		}

		@Override
		public void write(String s, int start, int length) throws IOException {
			for (int at = 0; at < length; at += CHARS)
				out.write(s, start + at, Math.min(CHARS, length - at));
		}
	}

	/** Ends a result that outgrows the limit before it fills the heap. */
	private static final class Limited extends OutputStream {
		private final ByteArrayOutputStream to = new ByteArrayOutputStream(256);

		@Override
		public void write(int b) throws IOException {
			write(new byte[] { (byte) b }, 0, 1);
		}

		@Override
		public void write(byte[] bytes, int start, int length) throws IOException {
			if (to.size() + length > RESULT_BYTES)
				throw new BadResult("the result is over the limit of " + RESULT_BYTES
						+ " bytes of JSON (64 MB); write it to a file and return its name");
			to.write(bytes, start, length);
		}

		byte[] toByteArray() {
			return to.toByteArray();
		}
	}

	/** Knows where it is; refuses what strict JSON does not have. */
	private static final class StrictWriter extends JsonWriter {
		private final List<Object> places = new ArrayList<>(); // by level: a name, or an Integer, the index
		private final List<Set<String>> names = new ArrayList<>(); // by level: names seen; null in an array

		StrictWriter(Writer out) {
			super(out);
		}

		String place() {
			StringBuilder s = new StringBuilder("result");
			for (Object place : places)
				if (place instanceof Integer)
					s.append('[').append(place).append(']');
				else
					s.append('.').append(place);
			return s.length() > 1000 ? s.substring(0, 1000) + "…" : s.toString();
		}

		private void deeper(boolean isArray) throws BadResult {
			if (places.size() >= DEPTH)
				throw new BadResult("the result is nested too deeply for JSON (over " + DEPTH + " levels), or contains itself, at " + place());
			places.add(isArray ? (Object) 0 : "");
			names.add(isArray ? null : new HashSet<>());
		}

		private void higher() {
			places.remove(places.size() - 1);
			names.remove(names.size() - 1);
			next();
		}

		/** A value was written. */
		private JsonWriter next() {
			int last = places.size() - 1;
			if (last >= 0 && places.get(last) instanceof Integer i)
				places.set(last, i + 1);
			return this;
		}

		@Override
		public JsonWriter beginArray() throws IOException {
			deeper(true);
			return super.beginArray();
		}

		@Override
		public JsonWriter beginObject() throws IOException {
			deeper(false);
			return super.beginObject();
		}

		@Override
		public JsonWriter endArray() throws IOException {
			super.endArray();
			higher();
			return this;
		}

		@Override
		public JsonWriter endObject() throws IOException {
			super.endObject();
			higher();
			return this;
		}

		@Override
		public JsonWriter name(String name) throws IOException {
			int last = places.size() - 1;
			if (!names.get(last).add(name))
				throw new BadResult("the result has the key \"" + name + "\" twice in one object, " + place());
			places.set(last, name);
			return super.name(name);
		}

		@Override
		public JsonWriter value(String value) throws IOException {
			super.value(value);
			return value == null ? this : next();
		}

		@Override
		public JsonWriter value(boolean value) throws IOException {
			super.value(value);
			return next();
		}

		@Override
		public JsonWriter value(Boolean value) throws IOException {
			super.value(value);
			return value == null ? this : next();
		}

		@Override
		public JsonWriter value(long value) throws IOException {
			super.value(value);
			return next();
		}

		@Override
		public JsonWriter value(double value) throws IOException {
			finite(value);
			super.value(value);
			return next();
		}

		@Override
		public JsonWriter value(float value) throws IOException {
			finite(value);
			super.value(value);
			return next();
		}

		@Override
		public JsonWriter value(Number value) throws IOException {
			if (value != null)
				finite(value.doubleValue());
			super.value(value);
			return value == null ? this : next();
		}

		@Override
		public JsonWriter nullValue() throws IOException {
			super.nullValue();
			return next();
		}

		private void finite(double value) throws BadResult {
			if (Double.isNaN(value) || Double.isInfinite(value))
				throw new BadResult(place() + " is " + value + ", which JSON cannot hold");
		}
	}

	// --- errors ---

	static JsonObject error(String clazz, String message, String stack) {
		JsonObject error = new JsonObject();
		error.addProperty("clazz", clazz);
		error.addProperty("message", message);
		error.addProperty("stack", stack);
		return error;
	}

	/** The body of an answer that refuses. */
	static byte[] wrapError(String clazz, String message) {
		JsonObject error = new JsonObject(), body = new JsonObject();
		error.addProperty("clazz", clazz);
		error.addProperty("message", message);
		body.add("error", error);
		return body.toString().getBytes(StandardCharsets.UTF_8);
	}

	/** A Throwable with its causes; the kernel's own frames are left out. */
	static JsonObject error(Throwable e) {
		return describe(e, CAUSES, new IdentityHashMap<>());
	}

	private static JsonObject describe(Throwable e, int causesLeft, Map<Throwable, Boolean> seen) {
		seen.put(e, true);
		boolean isOurs = e instanceof BadResult || e instanceof JavaTask.BadTask || e instanceof Job.ActivityFailed;
		String clazz = isOurs ? e.getClass().getSimpleName() : e.getClass().getName();
		String message = clean(messageOf(e), MESSAGE_CHARS);
		StringBuilder text = new StringBuilder(clazz).append(message.isEmpty() ? "" : ": ").append(message).append('\n');
		JsonObject error = error(clazz, message, isOurs ? "" : clean(text.append(stack(e.getStackTrace())).toString(), STACK_CHARS));
		Throwable cause = e.getCause();
		if (cause != null && causesLeft > 0 && !seen.containsKey(cause))
			error.add("cause", describe(cause, causesLeft - 1, seen));
		return error;
	}

	static String stack(StackTraceElement[] frames) {
		int end = frames.length;
		for (int i = 0; i < frames.length; i++)
			if (frames[i].getClassName().startsWith("dss.kernel.")) {
				end = i;
				break;
			}
		StringBuilder s = new StringBuilder();
		for (int i = 0; i < end; i++)
			s.append("\tat ").append(frames[i]).append('\n');
		return s.toString();
	}

	private static String messageOf(Throwable e) {
		try {
			String text = e.getMessage();
			return text == null ? "" : text;
		} catch (Throwable broken) { // a class of the task may do anything in getMessage()
			return "(its text cannot be made: " + broken.getClass().getName() + ")";
		}
	}

	/** The end of a stack tells where, its start how one got there: keep both. */
	private static String clean(String text, int limit) {
		if (text.length() <= limit)
			return text;
		return text.substring(0, limit / 2) + "\n… " + (text.length() - limit) + " characters left out …\n"
				+ text.substring(text.length() - limit / 2);
	}
}
