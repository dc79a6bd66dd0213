package dss.kernel;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** The payload of a job, checked: known activities, and an order in which they can be done. */
final class Plan {
	private static final int ACTIVITIES = 2000; // their states must fit into one answer that the backend takes
	private static final int SLOTS = 64, SHOWN = 5;

	final String jobId;
	final int javaSlots; // java recipes at a time
	final Map<String, Activity> activities = new LinkedHashMap<>();

	Plan(JsonObject payload) throws Refuse {
		jobId = id(payload.get("jobId"), "payload.jobId of a job must be an id");
		if (!isAbsent(payload.get("projectKey")))
			id(payload.get("projectKey"), "payload.projectKey of a job must be an id");
		JsonElement slots = payload.get("javaSlots");
		javaSlots = isAbsent(slots) ? Math.max(1, Runtime.getRuntime().availableProcessors()) : (int) Json.whole(slots, 1, SLOTS);
		if (javaSlots < 0)
			throw bad("payload.javaSlots of a job must be a whole number from 1 to " + SLOTS);
		if (!(payload.get("activities") instanceof JsonArray list))
			throw bad("a job needs payload.activities, a list");
		if (list.size() > ACTIVITIES)
			throw bad("payload.activities has " + list.size() + " activities; a job takes " + ACTIVITIES + " at most");
		for (int i = 0; i < list.size(); i++)
			add(list.get(i), "payload.activities[" + i + "]");
		int i = 0;
		for (Activity activity : activities.values())
			link(activity, "payload.activities[" + i++ + "]");
		checkOrder();
	}

	private void add(JsonElement element, String place) throws Refuse {
		if (!(element instanceof JsonObject given))
			throw bad(place + " must be an object");
		String id = id(given.get("activityId"), place + ".activityId must be an id");
		String kind = id(given.get("kind"), place + ".kind must be a word like \"java\" or \"python\"");
		JsonElement title = given.get("title");
		if (!isAbsent(title) && !Json.isText(title))
			throw bad(place + ".title must be text");
		if (kind.equals(Activity.JAVA))
			JavaTask.check(given, "activity " + id, place);
		if (activities.put(id, new Activity(id, kind, isAbsent(title) ? null : title.getAsString(), given)) != null)
			throw bad(place + ": there are two activities " + id);
	}

	private void link(Activity activity, String place) throws Refuse {
		JsonElement after = activity.given.get("after");
		if (isAbsent(after))
			return;
		if (!after.isJsonArray())
			throw bad(place + ".after must be a list of activity ids");
		for (JsonElement e : after.getAsJsonArray()) {
			Activity needed = Json.isText(e) ? activities.get(e.getAsString()) : null;
			if (needed == null)
				throw bad(place + ".after names " + Activity.line(e.toString(), 200) + ", which is no activity of this job");
			if (needed.next.contains(activity))
				continue; // named twice
			needed.next.add(activity);
			activity.missing++;
		}
	}

	/** Takes away what can be done until nothing is left, or only what waits for itself. */
	private void checkOrder() throws Refuse {
		Map<Activity, Integer> missing = new LinkedHashMap<>();
		ArrayDeque<Activity> ready = new ArrayDeque<>();
		for (Activity a : activities.values()) {
			missing.put(a, a.missing);
			if (a.missing == 0)
				ready.add(a);
		}
		while (!ready.isEmpty()) {
			Activity done = ready.remove();
			missing.remove(done);
			for (Activity a : done.next)
				if (missing.merge(a, -1, Integer::sum) == 0)
					ready.add(a);
		}
		if (missing.isEmpty())
			return;
		List<String> names = new ArrayList<>();
		for (Activity a : missing.keySet())
			if (names.size() < SHOWN)
				names.add(a.id);
		throw bad("these activities wait for each other: " + String.join(", ", names) + (missing.size() > SHOWN ? ", …" : ""));
	}

	private static boolean isAbsent(JsonElement e) {
		return e == null || e.isJsonNull();
	}

	private static String id(JsonElement e, String otherwise) throws Refuse {
		if (!Json.isText(e) || !Settings.isId(e.getAsString()))
			throw bad(otherwise);
		return e.getAsString();
	}

	private static Refuse bad(String message) {
		return new Refuse(400, "BadPayload", message);
	}
}
