package dss;

import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParseException;
import com.google.gson.JsonParser;
import com.google.gson.JsonPrimitive;
import java.io.IOException;
import java.lang.reflect.Modifier;
import java.lang.reflect.Type;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.security.CodeSource;
import java.security.SecureRandom;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.concurrent.CancellationException;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.TimeUnit;

/**
 * Runs FutureThreads in the kernels of a DSS node.
 *
 * <pre>{@code
 * FutureService node = new FutureService();                  // DSS_URL and DSS_KEY of the environment
 * Export export = new Export();
 * export.dataset = "orders";
 * Future<Export.Report> future = node.pool("fek").submit(export, Export.Report.class);
 * Report report = future.get();                              // ExecutionException with a TaskFailed where it failed
 * }</pre>
 *
 * The class travels by name with its jar or folder as classpath, its fields as JSON (Gson). Requests are repeated while the
 * backend restarts, and a submit is never run twice. Immutable, for any thread.
 */
public final class FutureService {
	private static final Duration PATIENCE = Duration.ofSeconds(60); // a backend restart takes a second or two; an upgrade longer
	private static final int CONNECT_S = 5, POLL_S = 20, ANSWER_S = 60;
	private static final long FIRST_PAUSE_MS = 50, LONGEST_PAUSE_MS = 2000;
	private static final Gson GSON = new GsonBuilder().disableHtmlEscaping().create();
	private static final SecureRandom RANDOM = new SecureRandom();

	private final HttpClient http;
	private final String url, key;
	private final JsonObject options;
	private final List<String> classpath; // null: where the class came from

	/** A future in the node. */
	public final class RemoteFuture<R> extends CompletableFuture<R> {
		private volatile String id;

		/** The node's name for it; null until the node has it. */
		public String id() {
			return id;
		}

		/** Aborts it, also while it runs. */
		@Override
		public boolean cancel(boolean mayInterrupt) {
			boolean isMine = super.cancel(mayInterrupt);
			if (isMine && id != null)
				ask("DELETE", "/api/futures/" + id, null, System.nanoTime(), FIRST_PAUSE_MS);
			return isMine;
		}
	}

	private record Answer(int status, JsonObject body) {
	}

	/** A node at DSS_URL, as the owner of DSS_KEY. */
	public FutureService() {
		this(System.getenv("DSS_URL"), System.getenv("DSS_KEY"));
	}

	/** {@code url} like http://127.0.0.1:11200 */
	public FutureService(String url, String key) {
		this(HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).proxy(HttpClient.Builder.NO_PROXY)
				.connectTimeout(Duration.ofSeconds(CONNECT_S)).build(), checkUrl(url), checkKey(key), new JsonObject(), null);
	}

	private FutureService(HttpClient http, String url, String key, JsonObject options, List<String> classpath) {
		this.http = http;
		this.url = url;
		this.key = key;
		this.options = options;
		this.classpath = classpath;
	}

	/** The same node; what is submitted goes to {@code pool}. */
	public FutureService pool(String pool) {
		return with("pool", new JsonPrimitive(pool));
	}

	/** The same node; what is submitted may use so much memory: "4g". */
	public FutureService memory(String memory) {
		JsonObject limits = new JsonObject();
		limits.addProperty("memory", memory);
		return with("limits", limits);
	}

	/** The same node; what is submitted ends after so long. */
	public FutureService timeout(Duration timeout) {
		return with("timeoutMs", new JsonPrimitive(timeout.toMillis()));
	}

	/** The same node; tasks that their kernel's death ended are tried again so often. */
	public FutureService retries(int retries) {
		return with("retries", new JsonPrimitive(retries));
	}

	/** The same node; classes are loaded from these jars and folders there, not from where they are here. */
	public FutureService classpath(String... jars) {
		return new FutureService(http, url, key, options, List.of(jars));
	}

	private FutureService with(String name, JsonElement value) {
		JsonObject more = options.deepCopy();
		more.add(name, value);
		return new FutureService(http, url, key, more, classpath);
	}

	/** Where; never who. */
	@Override
	public String toString() {
		return "FutureService at " + url;
	}

	/** Hands it in; the future's value is made of the result's JSON as {@code resultType} (a class or any Type of Gson's). */
	public <R> RemoteFuture<R> submit(FutureThread<? extends R> work, Type resultType) {
		JsonObject body = options.deepCopy(), payload = new JsonObject();
		payload.addProperty("class", nameOf(work.getClass()));
		payload.add("state", GSON.toJsonTree(work));
		JsonArray path = new JsonArray();
		(classpath != null ? classpath : placeOf(work.getClass())).forEach(path::add);
		payload.add("classpath", path);
		body.addProperty("type", "java");
		body.add("payload", payload);
		body.addProperty("title", work.getClass().getSimpleName());
		body.addProperty("clientKey", "java-" + HexFormat.of().formatHex(random()));
		RemoteFuture<R> future = new RemoteFuture<>();
		// serializeNulls stays off: a field that is null here keeps its default there.
		ask("POST", "/api/futures", GSON.toJson(body), System.nanoTime(), FIRST_PAUSE_MS).whenComplete((answer, e) -> {
			if (e != null) {
				future.completeExceptionally(plain(e));
			} else if (answer.status < 400 && answer.body.has("jobId")) {
				future.id = URLEncoder.encode(answer.body.get("jobId").getAsString(), StandardCharsets.UTF_8);
				if (future.isCancelled())
					ask("DELETE", "/api/futures/" + future.id, null, System.nanoTime(), FIRST_PAUSE_MS);
				else
					poll(future, resultType, 10);
			} else if (!take(future, resultType, answer)) {
				future.completeExceptionally(new IOException("unable to submit to " + url + ": the answer names no job: " + text(answer.body, "message")));
			}
		});
		return future;
	}

	// --- following ---

	private <R> void poll(RemoteFuture<R> future, Type type, long pauseMs) {
		long begun = System.nanoTime();
		ask("GET", "/api/futures/" + future.id + "?peek=False&wait=" + POLL_S, null, begun, FIRST_PAUSE_MS).whenComplete((answer, e) -> {
			if (e != null) {
				future.completeExceptionally(plain(e));
			} else if (!take(future, type, answer) && !future.isDone()) {
				// An answer that came early without an end: a node that does not hold polls is asked ever less often.
				boolean isEarly = System.nanoTime() - begun < TimeUnit.SECONDS.toNanos(POLL_S) / 2;
				long next = isEarly ? Math.min(pauseMs * 13 / 10 + 1, 1000) : 10;
				later(isEarly ? pauseMs : 0, () -> poll(future, type, next));
			}
		});
	}

	/** True: it ended. */
	private static <R> boolean take(RemoteFuture<R> future, Type type, Answer answer) {
		JsonObject body = answer.body;
		if (answer.status == 422 || answer.status < 400 && (is(body, "aborted", true) || is(body, "alive", false) && !is(body, "hasResult", true))) {
			String reason = text(body, "cause");
			if (is(body, "aborted", true) || List.of("user", "admin", "policy").contains(reason) || text(body, "errorType").contains("Abort"))
				future.completeExceptionally(new CancellationException(text(body, "message")));
			else
				future.completeExceptionally(failure(body));
		} else if (answer.status >= 400) {
			String message = text(body, "message").isEmpty() ? "no reason given" : text(body, "message");
			future.completeExceptionally(new IOException("the node refused it: " + message + " (status " + answer.status + ")"));
		} else if (is(body, "hasResult", true)) {
			try {
				future.complete(GSON.fromJson(body.get("result"), type));
			} catch (JsonParseException | NumberFormatException e) {
				future.completeExceptionally(new IOException("the result is no " + type.getTypeName() + ": " + e.getMessage(), e));
			}
		} else {
			return false;
		}
		return true;
	}

	private static TaskFailed failure(JsonObject body) {
		JsonObject detail = body.get("detail") instanceof JsonObject o ? o : new JsonObject();
		JsonObject error = body.get("error") instanceof JsonObject o ? o : detail;
		String clazz = first(text(body, "errorType"), text(body, "clazz"), text(error, "clazz"));
		String message = first(text(body, "message"), text(error, "message"), "the task ended without a result");
		String stack = first(text(body, "stack"), text(body, "stackTraceStr"), text(error, "stack"));
		JsonElement inner = body.get("cause") instanceof JsonObject ? body.get("cause") : error.get("cause");
		return new TaskFailed(clazz, message, stack, text(body, "cause"), body.get("detail"), inner instanceof JsonObject o ? failure(o) : null);
	}

	// --- requests ---

	/** One request, repeated while the backend is away. {@code begun} in nanoTime. */
	private CompletableFuture<Answer> ask(String method, String path, String body, long begun, long pauseMs) {
		HttpRequest request = HttpRequest.newBuilder(URI.create(url + path)).timeout(Duration.ofSeconds(POLL_S + ANSWER_S))
				.header("Authorization", "Bearer " + key).header("Content-Type", "application/json")
				.method(method, body == null ? HttpRequest.BodyPublishers.noBody() : HttpRequest.BodyPublishers.ofString(body)).build();
		CompletableFuture<Answer> asked = new CompletableFuture<>();
		http.sendAsync(request, HttpResponse.BodyHandlers.ofString()).whenComplete((response, e) -> {
			boolean isAway = e != null || response.statusCode() >= 502 && response.statusCode() <= 504;
			if (!isAway) {
				asked.complete(new Answer(response.statusCode(), parse(response.body())));
			} else if (System.nanoTime() - begun > PATIENCE.toNanos() + TimeUnit.SECONDS.toNanos(POLL_S)) {
				asked.completeExceptionally(new IOException("unable to reach the node at " + url + ": "
						+ (e != null ? plain(e) : "status " + response.statusCode())));
			} else {
				later(pauseMs, () -> ask(method, path, body, begun, Math.min(pauseMs * 3 / 2, LONGEST_PAUSE_MS)).whenComplete((answer, e2) -> {
					if (e2 != null)
						asked.completeExceptionally(plain(e2));
					else
						asked.complete(answer);
				}));
			}
		});
		return asked;
	}

	private static void later(long ms, Runnable then) {
		CompletableFuture.delayedExecutor(ms, TimeUnit.MILLISECONDS).execute(then);
	}

	private static JsonObject parse(String text) {
		try {
			if (JsonParser.parseString(text) instanceof JsonObject object)
				return object;
		} catch (JsonParseException e) {
			// told as text below
		}
		JsonObject body = new JsonObject();
		body.addProperty("message", text.length() > 500 ? text.substring(0, 500) : text);
		return body;
	}

	// --- helpers ---

	private static String nameOf(Class<?> type) {
		if (type.isAnonymousClass() || type.isLocalClass() || type.isSynthetic() || type.isHidden())
			throw new IllegalArgumentException("unable to submit " + type.getName() + ": another process cannot find it; give it a class of its own");
		if (type.isMemberClass() && !Modifier.isStatic(type.getModifiers()))
			throw new IllegalArgumentException("unable to submit " + type.getName() + ": it is an inner class; make it static");
		return type.getName();
	}

	/** The jar or folder that a class came from. */
	private static List<String> placeOf(Class<?> type) {
		List<String> places = new ArrayList<>();
		CodeSource source = type.getProtectionDomain().getCodeSource();
		if (source != null && source.getLocation() != null && source.getLocation().getProtocol().equals("file"))
			places.add(Path.of(URI.create(source.getLocation().toString())).toAbsolutePath().toString());
		return places;
	}

	private static byte[] random() {
		byte[] bytes = new byte[16];
		RANDOM.nextBytes(bytes);
		return bytes;
	}

	private static String checkUrl(String url) {
		if (url == null || url.isEmpty())
			throw new IllegalArgumentException("unable to tell which node: set DSS_URL");
		if (!url.startsWith("http://") && !url.startsWith("https://") || url.contains("@"))
			throw new IllegalArgumentException("unable to use this address of a node: it must read http://host:port");
		return url.replaceAll("/+$", "");
	}

	private static String checkKey(String key) {
		if (key == null || key.isEmpty())
			throw new IllegalArgumentException("unable to tell who asks: set DSS_KEY");
		if (!key.chars().allMatch(c -> c > 0x20 && c < 0x7f))
			throw new IllegalArgumentException("unable to use this key: it has blanks or strange characters");
		return key;
	}

	private static Throwable plain(Throwable e) {
		return e instanceof CompletionException && e.getCause() != null ? e.getCause() : e;
	}

	private static boolean is(JsonObject o, String name, boolean value) {
		JsonElement e = o.get(name);
		return e != null && e.isJsonPrimitive() && e.getAsJsonPrimitive().isBoolean() && e.getAsBoolean() == value;
	}

	private static String text(JsonObject o, String name) {
		JsonElement e = o.get(name);
		return e != null && e.isJsonPrimitive() ? e.getAsString() : "";
	}

	private static String first(String... texts) {
		for (String text : texts)
			if (!text.isEmpty())
				return text;
		return "";
	}
}
