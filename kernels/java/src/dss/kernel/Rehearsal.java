package dss.kernel;

import com.google.gson.JsonObject;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.concurrent.CountDownLatch;

/**
 * A kernel's first minute with a backend played by us, for the class data archive: what is loaded here is loaded fast later.
 * One kernel of both sorts, so that one archive is good for both. Run by build.sh with the demo's jar.
 */
final class Rehearsal {
	private static final String TOKEN = "rehearsal-token";

	private static final CountDownLatch ready = new CountDownLatch(1);

	/** Takes what either sort takes. */
	private static final class Both implements Trade {
		private final Trade futures = new FutureTrade(), jobs;

		Both(Settings settings) {
			jobs = new JobTrade(settings);
		}

		private Trade of(String type) {
			return type.equals("job") ? jobs : futures;
		}

		@Override
		public String[] types() {
			return new String[] { "java", "command", "job" };
		}

		@Override
		public void check(String type, JsonObject payload) throws Refuse {
			of(type).check(type, payload);
		}

		@Override
		public void take(Task task) throws Refuse {
			of(task.type).take(task);
		}

		@Override
		public byte[] run(Task task) throws Throwable {
			return of(task.type).run(task);
		}

		@Override
		public void warm() throws Exception {
			futures.warm();
			jobs.warm();
		}
	}

	private Rehearsal() {
	}

	public static void main(String[] args) throws Exception {
		for (String main : List.of("DSSFutureKernelMain", "DSSJobKernelMain"))
			Class.forName(main);
		Settings.takeVariable("DSS_REHEARSAL");
		ActivityLog.install();
		ServerSocket backend = new ServerSocket(0, 5, InetAddress.getLoopbackAddress());
		Settings settings = new Settings("127.0.0.1", backend.getLocalPort(), TOKEN);
		Server server = new Server(settings.listenHost, settings.listenPort);
		play("backend", () -> listen(backend));
		play("tasks", () -> giveTasks(server.port(), args[0]));
		Main.serve(settings, server, new Both(settings));
	}

	private interface Part {
		void play() throws Exception;
	}

	private static void play(String name, Part part) {
		Thread thread = new Thread(() -> {
			try {
				part.play();
			} catch (Exception e) {
				e.printStackTrace();
				Runtime.getRuntime().halt(1);
			}
		}, name);
		thread.setDaemon(true);
		thread.start();
	}

	// --- the backend's side ---

	private static void listen(ServerSocket listener) throws IOException {
		while (true) {
			Socket socket = listener.accept();
			play("backend-answers", () -> answer(socket));
		}
	}

	private static void answer(Socket socket) throws IOException {
		BufferedReader in = new BufferedReader(new InputStreamReader(socket.getInputStream(), StandardCharsets.US_ASCII));
		String first = in.readLine();
		int length = 0;
		for (String line = in.readLine(); line != null && !line.isEmpty(); line = in.readLine())
			if (line.startsWith("Content-Length: "))
				length = Integer.parseInt(line.substring(16));
		while (length-- > 0)
			in.read();
		String body = first.startsWith("POST /kernel/v1/processes ") ? "{\"processId\":\"p\"}"
				: first.startsWith("GET ") ? "{\"state\":\"exited\",\"cause\":\"exited\",\"code\":0}" : "{}";
		socket.getOutputStream().write(("HTTP/1.1 200 OK\r\nContent-Length: " + body.length() + "\r\n\r\n" + body).getBytes(StandardCharsets.US_ASCII));
		if (first.contains("/ready "))
			ready.countDown();
		else
			socket.close();
	}

	private static void giveTasks(int port, String jar) throws Exception {
		ready.await();
		String path = "\"classpath\":[\"" + jar + "\"]}";
		ask(port, "/task?wait=10", task("r1", "java", "{\"class\":\"com.example.Echo\",\"state\":{\"value\":{\"a\":[1,\"b\"]}}," + path));
		ask(port, "/task?wait=10", task("r2", "java", "{\"class\":\"com.example.Fail\"," + path));
		ask(port, "/task?wait=10", task("r3", "command", "{\"argv\":[\"true\"]}"));
		ask(port, "/task?wait=10", task("r4", "job", "{\"jobId\":\"j\",\"activities\":[{\"activityId\":\"a\",\"kind\":\"shell\"},"
				+ "{\"activityId\":\"b\",\"kind\":\"java\",\"after\":[\"a\"],\"class\":\"com.example.Fail\"," + path + "]}"));
		ask(port, "/shutdown", "");
	}

	private static String task(String id, String type, String payload) {
		return "{\"taskId\":\"" + id + "\",\"attempt\":1,\"type\":\"" + type + "\",\"payload\":" + payload + "}";
	}

	private static void ask(int port, String target, String body) throws IOException {
		try (Socket s = new Socket("127.0.0.1", port)) {
			s.getOutputStream().write(("POST " + target + " HTTP/1.1\r\nHost: k\r\nAuthorization: Bearer " + TOKEN
					+ "\r\nConnection: close\r\nContent-Length: " + body.length() + "\r\n\r\n" + body).getBytes(StandardCharsets.UTF_8));
			String answer = new String(s.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
			if (!answer.startsWith("HTTP/1.1 20"))
				throw new IOException(answer);
		}
	}
}
