package dss.kernel;

import java.nio.charset.StandardCharsets;

/** Loads before the first task what every task needs: warm is what ready means. */
final class Warmup {
	private Warmup() {
	}

	static void run(Routes routes) {
		try {
			routes.health("warm");
			Json.parse("{\"a\":[1,true,null,\"b\"]}".getBytes(StandardCharsets.UTF_8));
			Outcome.toJson(Outcome.gson(), Outcome.gson().fromJson("{\"n\":1}", Sample.class));
			Outcome.error(new IllegalStateException("warm"));
		} catch (Refuse | Json.Bad | Outcome.BadResult e) {
			throw new IllegalStateException(e);
		}
	}

	@SuppressWarnings("unused")
	private static final class Sample {
		int n;
		String s = "x";
		java.util.Map<String, Object> map = new java.util.HashMap<>(java.util.Map.of("k", 1.5));
		java.util.List<String> list = new java.util.ArrayList<>(java.util.List.of("v"));
	}
}
