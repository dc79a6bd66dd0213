package dss.kernel;

import java.nio.charset.StandardCharsets;

/** Loads before the first task what every task needs: warm is what ready means. */
final class Warmup {
	private Warmup() {
	}

	static void run(Routes routes, Trade trade) {
		try {
			routes.health("warm");
			Json.parse("{\"a\":[1,true,null,\"b\"]}".getBytes(StandardCharsets.UTF_8));
			Outcome.error(new IllegalStateException("warm"));
			trade.warm();
		} catch (Exception e) {
			throw new IllegalStateException(e);
		}
	}
}
