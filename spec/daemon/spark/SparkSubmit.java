import java.io.*;
import java.net.*;
import java.nio.charset.StandardCharsets;
import java.nio.file.*;
import java.util.*;

/**
 * Stands in for Spark's own in specs: takes the options of spark-submit, and for a Python or R script does what Spark does there: opens a gateway,
 * starts the script's interpreter as a child that talks to this JVM through it, and ends as the child ended. A jar's class runs in this JVM.
 */
public class SparkSubmit {
	static final Map<String, String> options = new TreeMap<>();
	static final List<byte[]> heap = new ArrayList<>();

	public static void main(String[] argv) throws Exception {
		int i = 0;
		for (; i + 1 < argv.length && argv[i].startsWith("--"); i += 2) {
			String[] conf = argv[i + 1].split("=", 2);
			if (argv[i].equals("--conf"))
				options.put(conf[0], conf[1]);
			else
				options.put(argv[i], argv[i + 1]);
		}
		String script = argv[i];
		List<String> rest = Arrays.asList(argv).subList(i + 1, argv.length);
		System.err.println("spark " + options + " " + script + " " + rest);
		if (script.endsWith(".jar"))
			runJar(script, rest.toArray(new String[0]));
		else
			System.exit(runChild(script, rest));
	}

	static void runJar(String jar, String[] args) throws Exception {
		List<URL> urls = new ArrayList<>(List.of(new File(jar).toURI().toURL()));
		for (String more : options.getOrDefault("--jars", "").split(","))
			if (!more.isEmpty())
				urls.add(new File(more).toURI().toURL());
		ClassLoader loader = new URLClassLoader(urls.toArray(new URL[0]));
		loader.loadClass(options.get("--class")).getMethod("main", String[].class).invoke(null, (Object) args);
	}

	static int runChild(String script, List<String> args) throws Exception {
		boolean isPython = script.endsWith(".py");
		ServerSocket gateway = new ServerSocket(0, 5, InetAddress.getLoopbackAddress());
		String secret = UUID.randomUUID().toString();
		String python = System.getenv().getOrDefault("PYSPARK_DRIVER_PYTHON", "python3");
		List<String> command = new ArrayList<>(List.of(isPython ? python : "Rscript", script));
		command.addAll(args);
		ProcessBuilder b = new ProcessBuilder(command).inheritIO();
		b.environment().put(isPython ? "PYSPARK_GATEWAY_PORT" : "EXISTING_SPARKR_BACKEND_PORT", "" + gateway.getLocalPort());
		b.environment().put(isPython ? "PYSPARK_GATEWAY_SECRET" : "SPARKR_BACKEND_AUTH_SECRET", secret);
		Thread serving = new Thread(() -> serve(gateway, secret));
		serving.setDaemon(true);
		serving.start();
		Process child = b.start();
		int code = child.waitFor();
		if (code != 0)
			System.err.println("SparkUserAppException: User application exited with " + code);
		return code;
	}

	static void serve(ServerSocket gateway, String secret) {
		try (Socket s = gateway.accept();
				BufferedReader in = new BufferedReader(new InputStreamReader(s.getInputStream(), StandardCharsets.UTF_8));
				PrintStream out = new PrintStream(s.getOutputStream(), true)) {
			if (!secret.equals(in.readLine()))
				return;
			for (String line; (line = in.readLine()) != null;)
				out.println(answer(line.split(" ", 2)));
		} catch (IOException e) {
			System.err.println("gateway: " + e);
		}
	}

	static String answer(String[] ask) throws IOException {
		switch (ask[0]) {
		case "count":
			try (var lines = Files.lines(Path.of(ask[1]))) {
				return "" + lines.count();
			}
		case "conf":
			return options.get(ask[1]);
		case "heap": // MB, kept
			for (int i = 0; i < Integer.parseInt(ask[1]); i++) {
				byte[] more = new byte[1 << 20];
				Arrays.fill(more, (byte) 1);
				heap.add(more);
			}
			return "done";
		default:
			return "unknown";
		}
	}
}
