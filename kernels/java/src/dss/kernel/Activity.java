package dss.kernel;

import com.google.gson.JsonObject;
import java.util.ArrayList;
import java.util.List;

/** One step of a job. What never changes is open; the rest is guarded by its job's lock. */
final class Activity {
	static final String JAVA = "java"; // the kind that runs in this kernel

	/** From DONE on it has ended. */
	enum State {
		NOT_STARTED, WAITING, RUNNING, DONE, FAILED, ABORTED, SKIPPED;

		boolean isEnd() {
			return compareTo(DONE) >= 0;
		}
	}

	final String id, kind, title; // title: may be null
	final JsonObject given; // as the payload has it
	final List<Activity> next = new ArrayList<>(); // those that need it
	int missing; // of those it needs, not done yet

	State state = State.NOT_STARTED;
	long readyAt, startAt, endAt; // ms since the epoch; 0: not yet
	long deadline = Long.MAX_VALUE; // nanoTime, of a java recipe that runs and has a timeout
	volatile boolean isLate; // was asked to stop because its time was over
	String message, waitingReason, processId;
	long position; // in the line it waits in; 0: not told
	double progress = Double.NaN;
	JsonObject exit, error;
	Work work; // of a java recipe that runs
	ProcessTalk talk; // of what was asked for: a process, or the place of a java recipe
	boolean hasSlot; // of a java recipe: one of those that this job may run at a time

	Activity(String id, String kind, String title, JsonObject given) {
		this.id = id;
		this.kind = kind;
		this.title = title;
		this.given = given;
	}

	boolean isJava() {
		return kind.equals(JAVA);
	}

	/** 0: none. */
	long timeoutMs() {
		return Math.max(0, Json.whole(given.get("timeoutMs"), 1, Long.MAX_VALUE / 1_000_000 / 2));
	}

	/** "1.5 s" */
	static String duration(long ms) {
		return ms % 1000 == 0 ? ms / 1000 + " s" : ms / 1000.0 + " s";
	}

	/** {@code textChars}: so much of each text. */
	JsonObject toJson(int textChars) {
		JsonObject o = new JsonObject();
		o.addProperty("kind", kind);
		put(o, "title", title, textChars);
		o.addProperty("state", state.name());
		o.addProperty("readyTime", readyAt);
		o.addProperty("startTime", startAt);
		o.addProperty("endTime", endAt);
		put(o, "message", message, textChars);
		if (state == State.WAITING) {
			put(o, "waitingReason", waitingReason, textChars);
			if (position > 0)
				o.addProperty("position", position);
		}
		if (!Double.isNaN(progress))
			o.addProperty("progress", progress);
		if (processId != null)
			o.addProperty("processId", processId);
		if (exit != null)
			o.add("exit", exit);
		if (error != null)
			o.add("error", error);
		return o;
	}

	private static void put(JsonObject o, String name, String value, int mostChars) {
		if (value != null && !value.isEmpty())
			o.addProperty(name, line(value, mostChars));
	}

	/** Text of others as one line of bounded length. */
	static String line(String text, int mostChars) {
		String s = text.length() > mostChars ? text.substring(0, mostChars - 1) + "…" : text;
		StringBuilder clean = null;
		for (int i = 0; i < s.length(); i++)
			if (Character.isISOControl(s.charAt(i)) || Character.isSurrogate(s.charAt(i)) && !isPair(s, i)) {
				if (clean == null)
					clean = new StringBuilder(s);
				clean.setCharAt(i, ' ');
			}
		return clean == null ? s : clean.toString();
	}

	private static boolean isPair(String s, int i) {
		boolean isFirst = Character.isHighSurrogate(s.charAt(i));
		int other = isFirst ? i + 1 : i - 1;
		return other >= 0 && other < s.length()
				&& (isFirst ? Character.isLowSurrogate(s.charAt(other)) : Character.isHighSurrogate(s.charAt(other)));
	}
}
