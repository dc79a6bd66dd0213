package dss.kernel;

import com.google.gson.JsonObject;
import java.nio.charset.StandardCharsets;

/** A job kernel: one job at a time. */
final class JobTrade implements Trade {
	private final Settings settings;
	private final Followers followers = new Followers();

	JobTrade(Settings settings) {
		this.settings = settings;
	}

	@Override
	public String[] types() {
		return new String[] { "job" };
	}

	@Override
	public void check(String type, JsonObject payload) throws Refuse {
		new Plan(payload);
	}

	@Override
	public void take(Task task) throws Refuse {
		task.detail = new Job(task, new Plan(task.payload), settings, followers);
	}

	@Override
	public byte[] run(Task task) throws Exception {
		return ((Job) task.detail).run();
	}

	@Override
	public void warm() throws Exception {
		String payload = "{\"jobId\":\"j\",\"activities\":[{\"activityId\":\"a\",\"kind\":\"java\",\"class\":\"a.B\"}]}";
		Plan plan = new Plan((JsonObject) Json.parse(payload.getBytes(StandardCharsets.UTF_8)));
		for (Activity activity : plan.activities.values())
			activity.toJson(100);
		ActivityLog.prefix("warm", "INFO", "dss.job");
		Job.requestId("t", 1, "a");
		followers.warm();
	}
}
