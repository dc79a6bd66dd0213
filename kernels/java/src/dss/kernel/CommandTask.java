package dss.kernel;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import java.io.File;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/**
 * A task of type command: a process inside the kernel's own box, in a session of its own, that ends with all it started.
 *
 * Java can neither make a process group nor tell exit code 137 from signal 9. So a minder stands between: Perl, as it is part
 * of every Debian (perl-base). It leads the group, so that the group's number stays its own until all of it is gone.
 */
final class CommandTask {
	private static final long TERM_GRACE_S = 2; // a command's processes may tidy up for so long before SIGKILL
	private static final String MINDER = String.join("\n",
			"use strict; use POSIX (); use Errno ();",
			"POSIX::setsid();",
			"pipe(my $why, my $tell) or die; my ($child, $asked) = (0, 0);",
			"my $stop = sub { $asked = 1; $SIG{TERM} = $SIG{INT} = $SIG{HUP} = 'IGNORE'; kill 'TERM', -$$; alarm(" + TERM_GRACE_S + ") };",
			"my $mask = POSIX::SigSet->new(POSIX::SIGTERM()); my $old = POSIX::SigSet->new();",
			"POSIX::sigprocmask(POSIX::SIG_BLOCK(), $mask, $old);", // an order to stop waits until there is a child to stop
			"defined($child = fork) or die \"fork: $!\";",
			"if (!$child) {",
			"  POSIX::dup2(2, 1); POSIX::sigprocmask(POSIX::SIG_SETMASK(), $old);",
			"  { no warnings; exec { $ARGV[0] } @ARGV; }",
			"  syswrite $tell, $! + 0; POSIX::_exit(127) }",
			"$SIG{TERM} = $stop; $SIG{ALRM} = sub { kill 'KILL', -$$ };",
			"POSIX::sigprocmask(POSIX::SIG_SETMASK(), $old);",
			"close $tell; my $errno = ''; 1 while !defined(sysread $why, $errno, 16) && $!{EINTR};",
			"my $got; do { $got = waitpid $child, 0 } while $got < 0 && $!{EINTR}; my $end = $?;",
			"$! = $errno || 0; my $line = $errno ? \"error $!\" : ($end >> 8) . ' ' . ($end & 127);",
			"syswrite STDOUT, $line; kill 'KILL', -$$;");

	private CommandTask() {
	}

	static void check(JsonObject payload) throws Refuse {
		JsonElement argv = payload.get("argv"), env = payload.get("env"), cwd = payload.get("cwd");
		String wanted = "payload.argv of a command task must be a list of texts, the program first";
		if (argv == null || !argv.isJsonArray() || argv.getAsJsonArray().isEmpty())
			throw new Refuse(400, "BadPayload", wanted);
		for (JsonElement e : argv.getAsJsonArray())
			if (!Json.isText(e))
				throw new Refuse(400, "BadPayload", wanted);
		if (argv.getAsJsonArray().get(0).getAsString().isEmpty())
			throw new Refuse(400, "BadPayload", wanted);
		if (env != null && !env.isJsonNull() && !isEnvironment(env))
			throw new Refuse(400, "BadPayload", "payload.env of a command task must be an object of texts");
		if (cwd != null && !cwd.isJsonNull() && !Json.isText(cwd))
			throw new Refuse(400, "BadPayload", "payload.cwd of a command task must be a folder");
	}

	private static boolean isEnvironment(JsonElement env) {
		if (!env.isJsonObject())
			return false;
		for (Map.Entry<String, JsonElement> e : env.getAsJsonObject().entrySet())
			if (e.getKey().isEmpty() || e.getKey().indexOf('=') >= 0 || e.getKey().indexOf('\0') >= 0 || !Json.isText(e.getValue()))
				return false;
		return true;
	}

	static byte[] run(Task task) throws Exception {
		JsonObject payload = task.payload;
		List<String> argv = new ArrayList<>(List.of("/usr/bin/perl", "-e", MINDER, "--"));
		payload.getAsJsonArray("argv").forEach(e -> argv.add(e.getAsString()));
		ProcessBuilder builder = new ProcessBuilder(argv).redirectInput(new File("/dev/null"))
				.redirectError(ProcessBuilder.Redirect.INHERIT);
		if (payload.get("env") instanceof JsonObject env)
			env.entrySet().forEach(e -> builder.environment().put(e.getKey(), e.getValue().getAsString()));
		if (payload.get("cwd") != null && !payload.get("cwd").isJsonNull()) {
			File folder = new File(payload.get("cwd").getAsString());
			if (!folder.isDirectory())
				throw new FileNotFoundException(folder + " (no such folder)");
			builder.directory(folder);
		}
		if (task.stopReason != null)
			throw new InterruptedException("aborted before it began");
		Process minder = builder.start();
		try {
			minder.waitFor();
		} catch (InterruptedException e) {
			stopGently(minder);
			throw e;
		}
		return outcome(minder, payload.getAsJsonArray("argv").get(0).getAsString());
	}

	private static byte[] outcome(Process minder, String program) throws IOException {
		String line = new String(minder.getInputStream().readNBytes(1000), StandardCharsets.UTF_8);
		if (line.startsWith("error "))
			throw new FileNotFoundException("unable to run " + program + ": " + line.substring(6));
		String[] words = line.split(" ");
		int code = words.length == 2 ? Settings.number(words[0], 255) : -1, signal = code < 0 ? -1 : Settings.number(words[1], 127);
		if (signal < 0)
			throw new IOException("the command's minder was killed; how the command ended is not known");
		JsonObject result = new JsonObject();
		result.addProperty("code", signal == 0 ? code : null);
		result.addProperty("signal", signal == 0 ? null : signal);
		return result.toString().getBytes(StandardCharsets.UTF_8);
	}

	/** The minder passes TERM on, and KILL after its grace. */
	private static void stopGently(Process minder) {
		minder.destroy();
		while (minder.isAlive()) {
			try {
				minder.waitFor();
			} catch (InterruptedException again) {
				// it is asked already
			}
		}
	}
}
