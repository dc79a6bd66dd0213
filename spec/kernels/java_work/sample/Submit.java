package sample;

import com.example.Export;
import com.google.gson.reflect.TypeToken;
import dss.FutureService;
import dss.FutureThread;
import dss.TaskFailed;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CancellationException;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;

/** Submits from another process, as a user's program would; what came of it is a line. Its argument says what to do. */
public final class Submit {
	/** Adds. */
	public static class Add implements FutureThread<Integer> {
		int a, b = 1;
		String none;
		transient Object here = new Object();

		@Override
		public Integer run() {
			return a + b;
		}
	}

	private static void say(Object o) {
		System.out.println(o);
	}

	public static void main(String[] args) throws Exception {
		FutureService node = new FutureService();
		say(node);
		Add add = new Add();
		add.a = 41;
		switch (args[0]) {
		case "run":
			var future = node.pool("fek").memory("4g").timeout(java.time.Duration.ofSeconds(5)).retries(2).<Integer>submit(add, Integer.class);
			say(future.get(60, TimeUnit.SECONDS) + " " + future.id());
			break;
		case "many":
			List<FutureService.RemoteFuture<Integer>> all = new ArrayList<>();
			for (add.a = 0; add.a < 50; add.a++)
				all.add(node.submit(add, Integer.class));
			int sum = 0;
			for (var f : all)
				sum += f.get(60, TimeUnit.SECONDS);
			say(sum);
			break;
		case "types":
			Map<String, List<Integer>> map = node.<Map<String, List<Integer>>>submit(new Typed(), new TypeToken<Map<String, List<Integer>>>() { }.getType())
					.get(60, TimeUnit.SECONDS);
			say(map.get("a").get(0) + 1);
			Export.Report report = node.classpath("/srv/demo.jar").<Export.Report>submit(new Export(), Export.Report.class).get(60, TimeUnit.SECONDS);
			say(report.file() + " " + report.rows());
			break;
		case "fail":
			try {
				node.submit(add, Integer.class).get(60, TimeUnit.SECONDS);
			} catch (ExecutionException e) {
				if (e.getCause() instanceof TaskFailed f)
					say(f.clazz + "|" + f.getMessage() + "|" + f.stack + "|" + f.reason + "|" + f.detail + "|" + f.getCause());
				else
					say(e.getCause());
			} catch (CancellationException e) {
				say("cancelled: " + e.getMessage());
			}
			break;
		case "cancel":
			var long1 = node.submit(add, Integer.class);
			while (long1.id() == null)
				Thread.sleep(5);
			say(long1.cancel(true) + " " + long1.isCancelled());
			System.in.read();
			break;
		default:
			try {
				node.submit(() -> 1, Integer.class);
			} catch (IllegalArgumentException e) {
				say(e.getMessage());
			}
		}
		System.exit(0);
	}

	/** A result with type arguments. */
	public static class Typed implements FutureThread<Map<String, List<Integer>>> {
		@Override
		public Map<String, List<Integer>> run() {
			return Map.of();
		}
	}
}
