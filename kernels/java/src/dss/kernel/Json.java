package dss.kernel;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonNull;
import com.google.gson.JsonObject;
import com.google.gson.JsonPrimitive;
import com.google.gson.internal.LazilyParsedNumber;
import com.google.gson.stream.JsonReader;
import com.google.gson.stream.JsonToken;
import java.io.IOException;
import java.io.StringReader;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.CodingErrorAction;
import java.nio.charset.StandardCharsets;

/** Reads JSON from outside: UTF-8, one value, no key twice in an object, bounded depth. */
final class Json {
	static final int DEPTH = 500; // a task's state becomes recursion in Gson

	/** The text is no JSON that we take; the message says why. */
	static final class Bad extends Exception {
		Bad(String message) {
			super(message);
		}
	}

	private Json() {
	}

	static JsonElement parse(byte[] bytes) throws Bad {
		try {
			String text = StandardCharsets.UTF_8.newDecoder().onMalformedInput(CodingErrorAction.REPORT)
					.onUnmappableCharacter(CodingErrorAction.REPORT).decode(ByteBuffer.wrap(bytes)).toString();
			JsonReader in = new JsonReader(new StringReader(text));
			JsonElement value = read(in, 0);
			if (in.peek() != JsonToken.END_DOCUMENT)
				throw new Bad("something follows the JSON value");
			return value;
		} catch (CharacterCodingException e) {
			throw new Bad("it is not UTF-8");
		} catch (IOException | IllegalStateException | NumberFormatException e) {
			String why = e.getMessage() == null ? "it ends too early" : e.getMessage();
			throw new Bad(why.length() > 200 ? why.substring(0, 200) : why);
		}
	}

	private static JsonElement read(JsonReader in, int depth) throws IOException, Bad {
		if (depth > DEPTH)
			throw new Bad("it is nested deeper than " + DEPTH + " levels");
		switch (in.peek()) {
		case BEGIN_ARRAY:
			JsonArray array = new JsonArray();
			in.beginArray();
			while (in.hasNext())
				array.add(read(in, depth + 1));
			in.endArray();
			return array;
		case BEGIN_OBJECT:
			JsonObject object = new JsonObject();
			in.beginObject();
			while (in.hasNext()) {
				String name = in.nextName();
				if (object.has(name))
					throw new Bad("a key stands twice in one object");
				object.add(name, read(in, depth + 1));
			}
			in.endObject();
			return object;
		case STRING:
			return new JsonPrimitive(in.nextString());
		case NUMBER:
			return new JsonPrimitive(new LazilyParsedNumber(in.nextString()));
		case BOOLEAN:
			return new JsonPrimitive(in.nextBoolean());
		case NULL:
			in.nextNull();
			return JsonNull.INSTANCE;
		default:
			throw new Bad("it ends too early");
		}
	}

	static boolean isText(JsonElement e) {
		return e != null && e.isJsonPrimitive() && e.getAsJsonPrimitive().isString() && e.getAsString().indexOf('\0') < 0;
	}

	/** A whole number from least to most; -1 for anything else. */
	static long whole(JsonElement e, long least, long most) {
		if (e == null || !e.isJsonPrimitive() || !e.getAsJsonPrimitive().isNumber())
			return -1;
		try {
			long n = Long.parseLong(e.getAsString());
			return n >= least && n <= most ? n : -1;
		} catch (NumberFormatException notWhole) {
			return -1;
		}
	}
}
