package dss.kernel;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.Map;
import java.util.function.BooleanSupplier;

/** What the kernel answers: the protocol's requests, in terms of the desk. All in the server thread, {@link #leave} in any. */
final class Routes {
	private static final int INLINE_BYTES = 64 * 1024; // larger results are fetched from /task/ID/result
	private static final double WAIT_S = 300; // the longest wait; a longer one is cut
	private static final int NONCE_CHARS = 256, SHOWN_CHARS = 200;
	private static final long TIMEOUT_MS = 366L * 86400 * 1000;
	private static final long LEAVE_GRACE_NS = 10_000_000_000L; // after a lease ran out: for the task to end by itself
	private static final byte[] EMPTY = { '{', '}' };

	private final Desk desk;
	private final Runner runner;
	private final Trade trade;
	private final GcClock gc = new GcClock();
	private final byte[] taskToken;
	private final long leaseNs; // 0: none
	private long heardAt = System.nanoTime(); // the last request of the backend
	private long leaveBy = Desk.NEVER; // once the lease ran out

	Routes(Settings settings, Desk desk, Runner runner, Trade trade) {
		this.desk = desk;
		this.runner = runner;
		this.trade = trade;
		taskToken = settings.taskToken;
		leaseNs = (long) (settings.leaseS * 1e9);
	}

	// --- for the server ---

	/** Refuses with 401 unless the request carries the task token. False for the one route open to all. */
	boolean check(Http.Request request) throws Refuse {
		if (request.path.equals("/health"))
			return false;
		String said = request.headers.getOrDefault("authorization", "");
		int blank = said.indexOf(' ');
		boolean isBearer = blank > 0 && said.substring(0, blank).equalsIgnoreCase("bearer");
		if (!MessageDigest.isEqual(said.substring(blank + 1).strip().getBytes(StandardCharsets.ISO_8859_1), taskToken) || !isBearer)
			throw new Refuse(401, "Unauthorized", "the task token is missing or wrong");
		heardAt = System.nanoTime();
		return true;
	}

	Server.Answer answer(Http.Request request) throws Refuse {
		switch (request.path) {
		case "/health":
			only(request, "GET");
			return json(200, health(request.parameters().getOrDefault("nonce", "")));
		case "/task":
			only(request, "POST");
			return take(request);
		case "/shutdown":
			only(request, "POST");
			leave();
			return now(202, EMPTY);
		default:
			return ofTask(request);
		}
	}

	/** Lets time pass: news, deadline, lease, garbage clock. Returns when to be called again, nanoTime or NEVER. */
	long tick(long now) {
		long due = checkLease(now);
		Task task = desk.task();
		if (task != null && task.isRunning())
			due = Math.min(Math.min(due, gc.tick(now)), Math.min(desk.showNews(now, false), desk.checkDeadline(now)));
		return due;
	}

	/** The kernel is to end: a running task is aborted first. */
	void leave() {
		desk.leave();
		Task task = desk.task();
		if (task != null)
			desk.stop(task, Task.Stop.ABORT);
		desk.wake().run();
	}

	// --- routes ---

	private static void only(Http.Request request, String method) throws Refuse {
		if (!request.method.equals(method))
			throw new Refuse(405, "MethodNotAllowed", shown(request.path) + " takes " + method);
	}

	private Server.Answer ofTask(Http.Request request) throws Refuse {
		String[] words = request.path.split("/", -1); // "", "task", ID, "result"?
		boolean isResult = words.length == 4 && words[3].equals("result");
		if (words.length < 3 || !words[1].equals("task") || words[2].isEmpty() || words.length > 3 && !isResult)
			throw new Refuse(404, "NotFound", "there is nothing at " + shown(request.path));
		Task task = desk.task();
		if (task == null || !task.id.equals(words[2]))
			throw new Refuse(404, "NotFound", "task " + shown(words[2]) + " is not known here");
		if (isResult) {
			only(request, "GET");
			if (!task.state.equals("done"))
				throw new Refuse(404, "NoResult", "task " + task.id + " has no result, it is " + task.state);
			return now(200, task.result);
		}
		if (request.method.equals("DELETE"))
			return delete(task);
		only(request, "GET");
		return follow(task, request.parameters());
	}

	JsonObject health(String nonce) throws Refuse {
		if (nonce.isEmpty() || nonce.length() > NONCE_CHARS)
			throw new Refuse(400, "health needs a nonce of 1 to " + NONCE_CHARS + " characters");
		JsonObject body = new JsonObject();
		Task task = desk.task();
		boolean isBusy = task != null && task.isRunning();
		body.addProperty("state", isBusy ? "busy" : "idle");
		if (task != null)
			body.addProperty(isBusy ? "taskId" : "lastTaskId", task.id);
		body.addProperty("proof", HexFormat.of().formatHex(hmac(taskToken, nonce.getBytes(StandardCharsets.UTF_8))));
		body.addProperty("gcFraction", isBusy ? Math.round(gc.fraction(System.nanoTime()) * 1000) / 1000.0 : 0.0);
		body.addProperty("heapBytes", Runtime.getRuntime().totalMemory() - Runtime.getRuntime().freeMemory());
		return body;
	}

	private Server.Answer take(Http.Request request) throws Refuse {
		double waitS = seconds(request.parameters().get("wait"));
		JsonObject said = parse(request.body);
		String id = Json.isText(said.get("taskId")) ? said.get("taskId").getAsString() : "";
		int attempt = (int) Json.whole(said.get("attempt"), 0, 1_000_000_000);
		if (!Settings.isId(id))
			throw new Refuse(400, "taskId must be an id");
		if (attempt < 0)
			throw new Refuse(400, "attempt must be a whole number");
		Task before = desk.task();
		Task task = before != null && before.id.equals(id) && before.attempt == attempt ? before : begin(id, attempt, said);
		if (waitS == 0 && task.isRunning())
			return now(202, EMPTY);
		return when(() -> !task.isRunning(), task, () -> Http.answer(202, EMPTY, true), waitS);
	}

	private Task begin(String id, int attempt, JsonObject said) throws Refuse {
		Task before = desk.task();
		if (before != null && before.isRunning())
			throw new Refuse(409, "Busy", "busy with task " + before.id + ", attempt " + before.attempt);
		if (desk.hasRun(id, attempt))
			throw new Refuse(409, "Forgotten", "task " + id + ", attempt " + attempt + " ran here before and its outcome was forgotten");
		if (before != null && before.isKernelSpent())
			desk.leave();
		if (desk.isStopping())
			throw new Refuse(503, "Stopping", "this kernel is about to end");
		String type = Json.isText(said.get("type")) ? said.get("type").getAsString() : "";
		if (!Arrays.asList(trade.types()).contains(type))
			throw new Refuse(400, "BadType", "this kernel takes tasks of type " + String.join(" and ", trade.types()) + ", not "
					+ shown(String.valueOf(said.get("type"))));
		JsonElement limit = said.get("timeoutMs");
		long timeoutMs = limit == null || limit.isJsonNull() ? 0 : Json.whole(limit, 1, TIMEOUT_MS);
		if (timeoutMs < 0)
			throw new Refuse(400, "timeoutMs must be a whole number of milliseconds, 1 or more");
		if (!(said.get("payload") instanceof JsonObject payload))
			throw new Refuse(400, "BadPayload", "payload must be an object");
		trade.check(type, payload);
		Task task = new Task(id, attempt, type, payload, timeoutMs, desk.wake());
		trade.take(task);
		desk.take(task);
		gc.restart(System.nanoTime());
		runner.start(task);
		return task;
	}

	private Server.Answer follow(Task task, Map<String, String> parameters) throws Refuse {
		double waitS = seconds(parameters.get("wait"));
		String text = parameters.get("seen");
		long seen = -1;
		if (text != null) {
			if (text.isEmpty() || text.length() > 18 || !Http.isBetween(text, '0', '9'))
				throw new Refuse(400, "seen must be a version number");
			seen = Long.parseLong(text);
		}
		if (seen < 0 || waitS == 0)
			return now(200, state(task));
		long version = seen;
		return when(() -> task.version != version, task, () -> Http.answer(200, state(task), true), waitS);
	}

	private Server.Answer delete(Task task) {
		if (task.isRunning()) {
			desk.stop(task, Task.Stop.ABORT);
			return now(202, EMPTY);
		}
		desk.forget(task);
		if (task.isKernelSpent())
			desk.leave();
		return now(200, EMPTY);
	}

	// --- helpers ---

	/** The state once it is due, else what {@code giveUp} says. */
	private Server.Answer when(BooleanSupplier isDue, Task task, java.util.function.Supplier<byte[]> giveUp, double waitS) {
		if (isDue.getAsBoolean())
			return now(200, state(task));
		return Server.Answer.waiting(() -> isDue.getAsBoolean() ? Http.answer(200, state(task), true) : null, giveUp,
				System.nanoTime() + (long) (waitS * 1e9));
	}

	private static Server.Answer now(int status, byte[] body) {
		return Server.Answer.now(Http.answer(status, body, true));
	}

	private static Server.Answer json(int status, JsonObject body) {
		return now(status, body.toString().getBytes(StandardCharsets.UTF_8));
	}

	private byte[] state(Task task) {
		desk.showNews(System.nanoTime(), true);
		JsonObject state = new JsonObject();
		synchronized (desk) {
			state.addProperty("taskId", task.id);
			state.addProperty("attempt", task.attempt);
			state.addProperty("version", task.version);
			state.addProperty("state", task.state);
			task.tell(state);
			if (task.error != null)
				state.add("error", task.error);
		}
		byte[] result = task.result;
		if (result == null)
			return state.toString().getBytes(StandardCharsets.UTF_8);
		state.addProperty("resultBytes", result.length);
		byte[] head = state.toString().getBytes(StandardCharsets.UTF_8);
		if (result.length > INLINE_BYTES)
			return head;
		// The result is JSON already; it is put in as it is, never read and written again.
		byte[] name = ",\"result\":".getBytes(StandardCharsets.US_ASCII);
		byte[] all = Arrays.copyOf(head, head.length + name.length + result.length);
		System.arraycopy(name, 0, all, head.length - 1, name.length);
		System.arraycopy(result, 0, all, head.length - 1 + name.length, result.length);
		all[all.length - 1] = '}';
		return all;
	}

	private long checkLease(long now) {
		if (leaseNs == 0)
			return Desk.NEVER;
		if (leaveBy != Desk.NEVER) {
			if (now - leaveBy >= 0)
				Runtime.getRuntime().halt(Main.EXIT_LEASE);
			return leaveBy;
		}
		if (now - heardAt < leaseNs)
			return heardAt + leaseNs;
		Main.log("no request from the backend for " + leaseNs / 1e9 + " s, the lease is over; ending");
		leaveBy = now + LEAVE_GRACE_NS;
		leave();
		return leaveBy;
	}

	private static double seconds(String text) throws Refuse {
		if (text == null)
			return 0;
		boolean isGood = !text.isEmpty() && text.length() <= 16 && text.indexOf('.') == text.lastIndexOf('.') && !text.startsWith(".")
				&& !text.endsWith(".") && Http.isBetween(text.replace(".", ""), '0', '9');
		if (!isGood)
			throw new Refuse(400, "wait must be seconds");
		return Math.min(Double.parseDouble(text), WAIT_S);
	}

	private static JsonObject parse(byte[] body) throws Refuse {
		try {
			if (Json.parse(body) instanceof JsonObject object)
				return object;
		} catch (Json.Bad e) {
			throw new Refuse(400, "the body is no JSON: " + e.getMessage());
		}
		throw new Refuse(400, "the body must be a JSON object");
	}

	private static String shown(String s) {
		return s.length() > SHOWN_CHARS ? s.substring(0, SHOWN_CHARS) + "…" : s;
	}

	/** HMAC-SHA256 by hand: javax.crypto costs a starting JVM more than all else together. */
	static byte[] hmac(byte[] key, byte[] text) {
		try {
			MessageDigest sha = MessageDigest.getInstance("SHA-256");
			byte[] pad = Arrays.copyOf(key.length > 64 ? sha.digest(key) : key, 64);
			for (int i = 0; i < 64; i++)
				pad[i] ^= 0x36;
			sha.update(pad);
			byte[] inner = sha.digest(text);
			for (int i = 0; i < 64; i++)
				pad[i] ^= 0x36 ^ 0x5c;
			sha.update(pad);
			return sha.digest(inner);
		} catch (NoSuchAlgorithmException e) {
			throw new IllegalStateException(e);
		}
	}
}
