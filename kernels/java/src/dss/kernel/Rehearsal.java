package dss.kernel;

import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.charset.StandardCharsets;

/** A kernel's first minute without a backend, for the class data archive: what is loaded here is loaded fast later. Run by build.sh. */
final class Rehearsal {
	private static final String TASK = "{\"taskId\":\"%s\",\"attempt\":1,\"type\":\"%s\",\"payload\":%s}";

	private Rehearsal() {
	}

	public static void main(String[] args) throws Exception {
		ServerSocket backend = new ServerSocket(0, 5, InetAddress.getLoopbackAddress());
		Settings settings = new Settings("127.0.0.1", backend.getLocalPort(), "rehearsal-token");
		Server server = new Server(settings.listenHost, settings.listenPort);
		Desk desk = new Desk(server::wake);
		Routes routes = new Routes(settings, desk, new Runner(desk));
		Warmup.run(routes);
		server.start(routes, () -> { });
		new Announcer(settings, "http://127.0.0.1:" + server.port(), Routes.TYPES, server::hasBackend).start();
		try (Socket ready = backend.accept()) {
			ready.getInputStream().read();
			ready.getOutputStream().write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}".getBytes(StandardCharsets.US_ASCII));
			String path = args[0];
			ask(server.port(), TASK.formatted("r1", "java", "{\"class\":\"com.example.Echo\",\"state\":{\"value\":{\"a\":[1,\"b\"]}},\"classpath\":[\""
					+ path + "\"]}"));
			ask(server.port(), TASK.formatted("r2", "java", "{\"class\":\"com.example.Fail\",\"classpath\":[\"" + path + "\"]}"));
			ask(server.port(), TASK.formatted("r3", "command", "{\"argv\":[\"true\"]}"));
		}
		desk.leave();
		desk.awaitEnd();
		server.close();
		System.exit(0);
	}

	private static void ask(int port, String body) throws Exception {
		try (Socket s = new Socket("127.0.0.1", port)) {
			s.getOutputStream().write(("POST /task?wait=10 HTTP/1.1\r\nHost: k\r\nAuthorization: Bearer rehearsal-token\r\nConnection: close\r\n"
					+ "Content-Length: " + body.length() + "\r\n\r\n" + body).getBytes(StandardCharsets.UTF_8));
			String answer = new String(s.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
			if (!answer.startsWith("HTTP/1.1 200 "))
				throw new IllegalStateException(answer);
		}
	}
}
