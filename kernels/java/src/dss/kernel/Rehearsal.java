package dss.kernel;

import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.charset.StandardCharsets;

/**
 * A kernel's first minute with a backend played by us, for the class data archive: what is loaded here is loaded fast later.
 * Run by build.sh with the demo's jar.
 */
final class Rehearsal {
	private static final String TOKEN = "rehearsal-token";

	private Rehearsal() {
	}

	public static void main(String[] args) throws Exception {
		Class.forName("DSSFutureKernelMain");
		Settings.takeVariable("DSS_REHEARSAL");
		ServerSocket backend = new ServerSocket(0, 5, InetAddress.getLoopbackAddress());
		Settings settings = new Settings("127.0.0.1", backend.getLocalPort(), TOKEN);
		Server server = new Server(settings.listenHost, settings.listenPort);
		new Thread(() -> {
			try {
				playBackend(backend, server.port(), args[0]);
			} catch (IOException e) {
				e.printStackTrace();
				Runtime.getRuntime().halt(1);
			}
		}, "backend").start();
		Main.serve(settings, server);
	}

	private static void playBackend(ServerSocket listener, int port, String jar) throws IOException {
		String path = "\"classpath\":[\"" + jar + "\"]}";
		try (Socket ready = listener.accept()) {
			ready.getInputStream().read();
			ready.getOutputStream().write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}".getBytes(StandardCharsets.US_ASCII));
			ask(port, "/task?wait=10", task("r1", "java", "{\"class\":\"com.example.Echo\",\"state\":{\"value\":{\"a\":[1,\"b\"]}}," + path));
			ask(port, "/task?wait=10", task("r2", "java", "{\"class\":\"com.example.Fail\"," + path));
			ask(port, "/task?wait=10", task("r3", "command", "{\"argv\":[\"true\"]}"));
			ask(port, "/shutdown", "");
		}
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
