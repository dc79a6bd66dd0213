package dss.kernel;

import com.google.gson.Gson;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.annotations.JsonAdapter;
import com.google.gson.annotations.SerializedName;
import dss.FutureThread;
import java.io.File;
import java.lang.reflect.Field;
import java.lang.reflect.Modifier;
import java.net.MalformedURLException;
import java.net.URL;
import java.net.URLClassLoader;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;

/** A task of type java: loaded without initialising, checked, made from JSON, run; its value is the result. */
final class JavaTask {
	private static final int CLASS_CHARS = 1000;

	/** The class or its state cannot be run; the message says why. */
	static final class BadTask extends Exception {
		BadTask(String message, Throwable cause) {
			super(message, cause);
		}
	}

	private JavaTask() {
	}

	/** Refuses a payload before anything is done with it. */
	static void check(JsonObject payload) throws Refuse {
		check(payload, "a java task", "payload");
	}

	/** {@code what} is to have the fields of a java task, and stands at {@code place} of the request. */
	static void check(JsonObject given, String what, String place) throws Refuse {
		JsonElement name = given.get("class"), state = given.get("state");
		if (!Json.isText(name) || !isClassName(name.getAsString()))
			throw new Refuse(400, "BadPayload", what + " needs " + place + ".class: text like \"com.example.Export\"");
		if (state != null && !state.isJsonNull() && !state.isJsonObject())
			throw new Refuse(400, "BadPayload", place + ".state of " + what + " must be an object, the fields of its class");
		checkTexts(given.get("classpath"), place + ".classpath of " + what + " must be a list of jar files and folders");
	}

	static void checkTexts(JsonElement list, String wanted) throws Refuse {
		if (list == null || list.isJsonNull())
			return;
		boolean isGood = list.isJsonArray();
		if (isGood)
			for (JsonElement e : list.getAsJsonArray())
				isGood &= Json.isText(e) && !e.getAsString().isEmpty();
		if (!isGood)
			throw new Refuse(400, "BadPayload", wanted);
	}

	private static boolean isClassName(String name) {
		boolean isStart = true;
		for (int i = 0; i < name.length(); i++) {
			char c = name.charAt(i);
			if (isStart ? !Character.isJavaIdentifierStart(c) : c != '.' && !Character.isJavaIdentifierPart(c))
				return false;
			isStart = c == '.';
		}
		return !isStart && name.length() <= CLASS_CHARS;
	}

	/** Returns the value as JSON. */
	static byte[] run(JsonObject payload, Work work) throws Throwable {
		return run(payload, work, true);
	}

	/** Runs one whose value nobody asks for. */
	static void runForItsDeeds(JsonObject payload, Work work) throws Throwable {
		run(payload, work, false);
	}

	private static byte[] run(JsonObject payload, Work work, boolean isValueWanted) throws Throwable {
		List<File> path = classpath(payload.get("classpath"));
		// Also without a path: a loader of the task's own, so that nothing of it hangs on ours.
		try (URLClassLoader loader = new URLClassLoader("task", urls(path), JavaTask.class.getClassLoader())) {
			Thread.currentThread().setContextClassLoader(loader);
			Class<?> type = load(payload.get("class").getAsString(), path, loader);
			JsonObject state = payload.get("state") instanceof JsonObject given ? given : new JsonObject();
			Gson gson = Outcome.gson();
			FutureThread<?> made = make(gson, type, state);
			work.made = made;
			if (work.isStopped())
				throw new InterruptedException("aborted before it began");
			Object value = made.run();
			return isValueWanted ? Outcome.toJson(gson, value) : null;
		}
	}

	/** "dir/*" is every jar of dir, as on a java command line. */
	private static List<File> classpath(JsonElement given) throws BadTask {
		List<File> files = new ArrayList<>();
		if (given == null || given.isJsonNull())
			return files;
		for (JsonElement e : given.getAsJsonArray()) {
			String name = e.getAsString();
			boolean isAll = name.endsWith("/*");
			File file = new File(isAll ? name.substring(0, name.length() - 2) : name).getAbsoluteFile();
			if (isAll ? !file.isDirectory() : !file.exists())
				throw new BadTask("unable to find " + name + " of the task's classpath", null);
			if (!file.canRead())
				throw new BadTask("unable to read " + name + " of the task's classpath: permission denied", null);
			if (isAll) {
				File[] jars = file.listFiles((dir, n) -> n.endsWith(".jar"));
				Arrays.sort(jars);
				files.addAll(Arrays.asList(jars));
			} else {
				files.add(file);
			}
		}
		return files;
	}

	private static URL[] urls(List<File> files) throws MalformedURLException {
		URL[] urls = new URL[files.size()];
		for (int i = 0; i < urls.length; i++)
			urls[i] = files.get(i).toURI().toURL();
		return urls;
	}

	private static Class<?> load(String name, List<File> path, ClassLoader loader) throws BadTask {
		Class<?> type;
		try {
			type = Class.forName(name, false, loader);
		} catch (ClassNotFoundException e) {
			throw new BadTask("unable to find class " + name + (path.isEmpty() ? "; the task gave no classpath" : " in " + path), null);
		}
		String wrong = !FutureThread.class.isAssignableFrom(type) ? "does not implement dss.FutureThread"
				: type.isInterface() ? "is an interface"
				: type.isEnum() ? "is an enum"
				: Modifier.isAbstract(type.getModifiers()) ? "is abstract"
				: type.isAnonymousClass() || type.isLocalClass() || type.isSynthetic() || type.isHidden() ? "has no name of its own"
				: type.isMemberClass() && !Modifier.isStatic(type.getModifiers()) ? "is an inner class, make it static" : null;
		if (wrong != null)
			throw new BadTask("class " + name + " cannot be a task: it " + wrong, null);
		return type;
	}

	private static FutureThread<?> make(Gson gson, Class<?> type, JsonObject state) throws BadTask {
		checkFields(type, state);
		try {
			return (FutureThread<?>) gson.fromJson(state, type);
		} catch (RuntimeException e) {
			throw new BadTask("unable to make " + type.getName() + " from its state: " + e.getMessage(), e);
		}
	}

	/** Gson would pass over a misspelt field without a word. */
	private static void checkFields(Class<?> type, JsonObject state) throws BadTask {
		if (type.isAnnotationPresent(JsonAdapter.class))
			return;
		Set<String> known = new TreeSet<>();
		for (Class<?> c = type; c != null && c != Object.class; c = c.getSuperclass())
			for (Field f : c.getDeclaredFields()) {
				if ((f.getModifiers() & (Modifier.STATIC | Modifier.TRANSIENT)) != 0 || f.isSynthetic())
					continue;
				SerializedName other = f.getAnnotation(SerializedName.class);
				known.add(other != null ? other.value() : f.getName());
				if (other != null)
					known.addAll(Arrays.asList(other.alternate()));
			}
		for (String name : state.keySet())
			if (!known.contains(name))
				throw new BadTask("class " + type.getName() + " has no field \"" + name + "\"; its fields are " + String.join(", ", known), null);
	}
}
