package dss.kernel;

import com.google.gson.JsonObject;

/** A future kernel: a FutureThread or a command at a time. */
final class FutureTrade implements Trade {
	@Override
	public String[] types() {
		return new String[] { "java", "command" };
	}

	@Override
	public void check(String type, JsonObject payload) throws Refuse {
		if (type.equals("java"))
			JavaTask.check(payload);
		else
			CommandTask.check(payload);
	}

	@Override
	public byte[] run(Task task) throws Throwable {
		return task.type.equals("java") ? JavaTask.run(task.payload, task.work) : CommandTask.run(task);
	}

	@Override
	public void warm() throws Outcome.BadResult {
		Outcome.toJson(Outcome.gson(), Outcome.gson().fromJson("{\"n\":1}", Sample.class));
	}

	@SuppressWarnings("unused")
	private static final class Sample {
		int n;
		String s = "x";
		java.util.Map<String, Object> map = new java.util.HashMap<>(java.util.Map.of("k", 1.5));
		java.util.List<String> list = new java.util.ArrayList<>(java.util.List.of("v"));
	}
}
