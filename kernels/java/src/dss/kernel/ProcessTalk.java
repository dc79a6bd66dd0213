package dss.kernel;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import dss.kernel.Activity.State;
import java.io.IOException;
import java.nio.charset.StandardCharsets;

/**
 * What is said with the backend about one activity's process: asked for, followed, forgotten; or stopped. Each step is one
 * request, in a thread of {@link Followers}, and says when the next one is due. The backend may be away for as long as it likes.
 * A java recipe has no process: of it only a place is asked for, and the talk is over once it has one.
 */
final class ProcessTalk {
	private static final String PATH = "/kernel/v1/processes";
	private static final long FIRST_PAUSE_MS = 50, LONGEST_PAUSE_MS = 5000;
	private static final long WAIT_PAUSE_MS = 250; // first pause between two questions for a slot
	private static final long POLL_PAUSE_MS = 1000; // where all long polls are taken
	private static final long QUICK_MS = 200; // a long poll that says nothing new so soon was none
	private static final int WAIT_S = 30, ANSWER_MS = 30_000, STOP_ANSWER_MS = 2000;
	private static final int GARBAGE_MOST = 6; // answers in a row that make no sense; then the activity failed
	private static final int FORGET_TRIES = 3; // the backend forgets what is left when the task ended
	private static final long STOP_MS = 4000; // under a pool's grace of 5 s: what is still there then is the backend's to end
	private static final long CUT_MS = 1000; // a request for a process that is under way when the order to stop comes may take so long
	private static final long OVER = -1;

	private final Job job;
	private final Activity activity;
	private final Settings settings;
	private final Followers followers;
	private final byte[] question;

	// Guarded by this object; the job's lock is never taken inside.
	private int ticket; // of the step that is due; older ones are void
	private boolean isStepping, isStopping, isLong, isOver;
	private Call call; // under way
	private long stopBy; // nanoTime, once isStopping

	// For the step only.
	private String processId;
	private boolean isEnded, isStopAsked, isUnsure; // isUnsure: asked for, not answered
	private int garbage, forgets;
	private long pauseMs;
	private String last = ""; // what the last answer said

	ProcessTalk(Job job, Activity activity, Settings settings, Followers followers, String jobId, String requestId) {
		this.job = job;
		this.activity = activity;
		this.settings = settings;
		this.followers = followers;
		JsonObject body = new JsonObject();
		body.addProperty("kernelId", settings.kernelId);
		body.addProperty("requestId", requestId);
		body.addProperty("jobId", jobId);
		body.addProperty("activityId", activity.id);
		if (activity.isJava())
			body.addProperty("wait", WAIT_S);
		question = body.toString().getBytes(StandardCharsets.UTF_8);
	}

	synchronized void start() {
		in(0);
	}

	/** Once is enough. */
	synchronized void stop() {
		if (isStopping || isOver)
			return; // over: the job hears of it at any moment
		isStopping = true;
		stopBy = System.nanoTime() + STOP_MS * 1_000_000;
		if (!isStepping) {
			in(0);
		} else if (call != null && isLong) {
			call.close();
		} else if (call != null) {
			Call slow = call;
			followers.in(CUT_MS, slow::close);
		}
	}

	// --- steps ---

	private synchronized void in(long ms) {
		int mine = ++ticket;
		followers.in(ms, () -> step(mine));
	}

	private void step(int mine) {
		boolean wasStopping;
		synchronized (this) {
			if (mine != ticket || isStepping)
				return;
			isStepping = true;
			wasStopping = isStopping;
		}
		long ms;
		try {
			ms = next(wasStopping);
		} catch (Throwable e) {
			job.end(activity, State.FAILED, "the kernel failed to follow its process: " + e, null);
			ms = OVER;
		}
		synchronized (this) {
			isStepping = false;
			isOver = ms == OVER;
			if (!isOver)
				in(isStopping && !wasStopping ? 0 : ms);
		}
		if (ms == OVER)
			job.hangUp(activity);
	}

	private long next(boolean isToStop) {
		if (isEnded)
			return forget();
		if (isToStop && !isStopAsked)
			return askStop();
		if (activity.isJava())
			return askPlace();
		return processId == null ? ask() : follow(isToStop);
	}

	/** One request waits as long as a long poll does. */
	private long askPlace() {
		Call.Answer answer;
		long from = System.nanoTime();
		boolean isPatient = followers.beginLongPoll();
		if (!isPatient)
			return POLL_PAUSE_MS;
		try {
			answer = send("POST", PATH, question, WAIT_S * 1000 + ANSWER_MS, true);
		} catch (IOException e) {
			return again("the backend does not answer: " + e.getMessage());
		} finally {
			followers.endLongPoll();
		}
		JsonObject said = read(answer);
		if (answer.status() == 409 || answer.status() == 429)
			return waitFor(said, answer.status());
		if (!isSuccess(answer.status()))
			return refused(answer.status(), said);
		switch (said == null ? "" : word(said, "state")) {
		case "placed":
			job.place(activity);
			return OVER;
		case "waiting":
			garbage = 0;
			job.setWaiting(activity, reason(said, 0), position(said));
			boolean isQuick = System.nanoTime() - from < QUICK_MS * 1_000_000;
			pauseMs = isQuick ? Math.min(POLL_PAUSE_MS, Math.max(FIRST_PAUSE_MS, 2 * pauseMs)) : 0;
			return pauseMs;
		case "exited":
			return end(State.FAILED, word(said, "message").isEmpty() ? "the backend has no place for it" : word(said, "message"));
		default:
			return nonsense(answer);
		}
	}

	private long ask() {
		Call.Answer answer;
		isUnsure = true;
		try {
			answer = send("POST", PATH, question, ANSWER_MS, false);
		} catch (IOException e) {
			return again("the backend does not answer: " + e.getMessage());
		}
		JsonObject said = read(answer);
		int status = answer.status();
		if (status == 409 || status == 429 || isSuccess(status) && said != null && !said.has("processId") && word(said, "state").equals("waiting")) {
			isUnsure = false;
			garbage = 0;
			return waitFor(said, status);
		}
		if (!isSuccess(status))
			return refused(status, said);
		String id = said == null ? "" : word(said, "processId");
		if (!Settings.isId(id))
			return nonsense(answer);
		isUnsure = false;
		processId = id;
		job.setProcess(activity, id, null);
		return said.has("state") ? take(said, answer) : running(said);
	}

	private long follow(boolean isToStop) {
		boolean isPatient = !isToStop && followers.beginLongPoll();
		long from = System.nanoTime();
		Call.Answer answer;
		try {
			String wait = "?wait=" + (isPatient ? WAIT_S : 0) + (last.isEmpty() ? "" : "&seen=" + last);
			answer = send("GET", PATH + "/" + processId + wait, null, isToStop ? STOP_ANSWER_MS : WAIT_S * 1000 + ANSWER_MS, isPatient);
		} catch (IOException e) {
			return again("the backend does not answer: " + e.getMessage());
		} finally {
			if (isPatient)
				followers.endLongPoll();
		}
		String before = last;
		JsonObject said = read(answer);
		if (answer.status() == 404 && isToStop)
			return stopped();
		if (answer.status() == 404 && last.equals("waiting")) { // the line went with the backend that kept it
			processId = null;
			last = "";
			return 0;
		}
		if (answer.status() == 404 || answer.status() == 410)
			return end(State.FAILED, "the backend does not know its process " + processId + " any more; how it ended is not known");
		if (answer.status() == 409 || answer.status() == 429)
			return again(reason(said, answer.status()));
		if (!isSuccess(answer.status()))
			return refused(answer.status(), said);
		long ms = said == null ? nonsense(answer) : take(said, answer);
		if (ms != 0 || isEnded)
			return ms;
		if (isToStop)
			return isLate() ? unstopped("it has not ended yet") : FIRST_PAUSE_MS;
		if (!isPatient)
			return POLL_PAUSE_MS;
		boolean isQuick = System.nanoTime() - from < QUICK_MS * 1_000_000 && before.equals(last);
		pauseMs = isQuick ? Math.min(POLL_PAUSE_MS, Math.max(FIRST_PAUSE_MS, 2 * pauseMs)) : 0;
		return pauseMs;
	}

	/** An answer with a state. 0: look again. */
	private long take(JsonObject said, Call.Answer answer) {
		switch (word(said, "state")) {
		case "running":
			return running(said);
		case "waiting":
			garbage = 0;
			last = "waiting";
			job.setWaiting(activity, reason(said, 0), position(said));
			return 0;
		case "exited":
			return exited(said, answer);
		default:
			return nonsense(answer);
		}
	}

	private long running(JsonObject said) {
		garbage = 0;
		last = "running";
		job.setRunning(activity, processId, Json.whole(said.get("startTime"), 1, Long.MAX_VALUE));
		return 0;
	}

	/** Nothing stands in a line for us at the backend that we could follow: ask again. */
	private long waitFor(JsonObject said, int status) {
		job.setWaiting(activity, reason(said, status), position(said));
		long wanted = said == null ? -1 : Json.whole(said.get("retryAfterMs"), 1, 60_000);
		pauseMs = Math.min(LONGEST_PAUSE_MS, Math.max(WAIT_PAUSE_MS, 2 * pauseMs));
		return wanted > 0 ? wanted : pauseMs;
	}

	private long exited(JsonObject said, Call.Answer answer) {
		long code = Json.whole(said.get("code"), 0, 255), signal = Json.whole(said.get("signal"), 1, 127);
		String cause = word(said, "cause");
		if (code < 0 && signal < 0 && cause.isEmpty())
			return nonsense(answer);
		JsonObject exit = new JsonObject();
		exit.addProperty("cause", cause.isEmpty() ? "exited" : Activity.line(cause, 64));
		exit.addProperty("code", code < 0 ? null : code);
		exit.addProperty("signal", signal < 0 ? null : signal);
		long peak = Json.whole(said.get("peakBytes"), 0, Long.MAX_VALUE);
		if (peak >= 0)
			exit.addProperty("peakBytes", peak);
		boolean isOutOfLine = last.equals("waiting") && !said.has("startTime");
		if (!cause.equals("start_failed") && !isOutOfLine)
			running(said); // it was, if we saw it or not
		job.setProcess(activity, processId, exit);
		boolean isGood = code == 0 && signal < 0 && (cause.isEmpty() || cause.equals("exited"));
		if (isGood)
			return end(State.DONE, null);
		String why = word(said, "message");
		if (why.isEmpty())
			why = "its process ended " + (signal > 0 ? "by signal " + signal : "with exit code " + (code < 0 ? "unknown" : code))
					+ (cause.isEmpty() || cause.equals("exited") ? "" : " (" + cause + ")");
		return end(isStopAsked ? State.ABORTED : State.FAILED, why);
	}

	private long askStop() {
		if (processId == null)
			return end(State.ABORTED, isUnsure
					? "stopped with its job; whether its process began is not known, the backend ends it with the job"
					: "its job was stopped before it began");
		try {
			int status = send("DELETE", PATH + "/" + processId, null, STOP_ANSWER_MS, false).status();
			if (status == 202) {
				isStopAsked = true;
				pauseMs = 0;
				return FIRST_PAUSE_MS;
			}
			if (isSuccess(status) || status == 404 || status == 410)
				return stopped();
			return again("the backend answered " + status);
		} catch (IOException e) {
			return again("the backend does not answer: " + e.getMessage());
		}
	}

	/** The backend took the order and knows nothing more of it. */
	private long stopped() {
		job.end(activity, State.ABORTED, "stopped with its job", null);
		return OVER;
	}

	private long unstopped(String why) {
		job.end(activity, State.ABORTED, "stopped with its job; " + why + ", the backend ends process " + processId + " with the job", null);
		return OVER;
	}

	/** Stops what should still run, too. */
	private long forget() {
		try {
			int status = send("DELETE", PATH + "/" + processId, null, STOP_ANSWER_MS, false).status();
			if (status < 500)
				return OVER;
		} catch (IOException e) {
			// again, a few times
		}
		return ++forgets < FORGET_TRIES ? FIRST_PAUSE_MS << forgets : OVER;
	}

	private long end(State state, String message) {
		job.end(activity, state, message, null);
		isEnded = true;
		return processId == null ? OVER : 0;
	}

	// --- trouble ---

	private long again(String why) {
		boolean isToStop;
		synchronized (this) {
			isToStop = isStopping;
		}
		if (isToStop && isLate())
			return processId == null ? end(State.ABORTED, "stopped with its job; " + why) : unstopped(why);
		if (!isToStop)
			job.note(activity, why);
		pauseMs = Math.min(isToStop ? WAIT_PAUSE_MS : LONGEST_PAUSE_MS, Math.max(FIRST_PAUSE_MS, 2 * pauseMs));
		return pauseMs;
	}

	private long refused(int status, JsonObject said) {
		if (status == 503 || status == 408)
			return again(reason(said, status));
		if (status >= 400 && status < 500)
			return end(State.FAILED, "the backend refused its process: " + reason(said, status));
		return ++garbage < GARBAGE_MOST ? again(reason(said, status)) : end(State.FAILED, reason(said, status));
	}

	private long nonsense(Call.Answer answer) {
		String text = "the backend's answer makes no sense: " + new String(answer.body(), 0, Math.min(100, answer.body().length), StandardCharsets.UTF_8);
		return ++garbage < GARBAGE_MOST ? again(text) : end(State.FAILED, text);
	}

	private synchronized boolean isLate() {
		return System.nanoTime() - stopBy >= 0;
	}

	private Call.Answer send(String method, String target, byte[] body, int answerMs, boolean isPoll) throws IOException {
		Call mine = new Call(settings);
		synchronized (this) {
			if (isPoll && isStopping)
				throw new IOException("asked to stop");
			call = mine;
			isLong = isPoll;
		}
		try (mine) {
			return mine.ask(method, target, body, answerMs, false);
		} finally {
			synchronized (this) {
				call = null;
			}
		}
	}

	// --- reading ---

	private static boolean isSuccess(int status) {
		return status >= 200 && status < 300;
	}

	/** Null: no JSON object. */
	private static JsonObject read(Call.Answer answer) {
		try {
			return Json.parse(answer.body()) instanceof JsonObject object ? object : null;
		} catch (Json.Bad e) {
			return null;
		}
	}

	private static String word(JsonObject said, String name) {
		JsonElement e = said.get(name);
		return Json.isText(e) ? e.getAsString() : "";
	}

	private static long position(JsonObject said) {
		return said == null ? 0 : Math.max(0, Json.whole(said.get("position"), 1, Integer.MAX_VALUE));
	}

	/** {"reason"}, or {"error":{"message"}}, {"message"}; else the status. */
	private static String reason(JsonObject said, int status) {
		String text = said == null ? "" : word(said, "reason");
		if (text.isEmpty() && said != null && said.get("error") instanceof JsonObject error)
			text = word(error, "message");
		if (text.isEmpty() && said != null)
			text = word(said, "message");
		return !text.isEmpty() ? text : status == 0 ? "the backend lets it wait" : "the backend answered " + status;
	}
}
