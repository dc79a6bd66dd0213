import dss.FutureThread;
import dss.Progress;
import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/** A recipe that does what its `does` says. */
public class Recipe implements FutureThread<Object> {
	String does = "nothing", name = "", other = "";

	@Override
	public Object run() throws Exception {
		switch (does) {
		case "nothing":
			return 1;
		case "meets": // both must be under way at the same time
			Files.createFile(Path.of(name));
			while (!new File(other).exists())
				Thread.sleep(2);
			return 1;
		case "prints":
			System.out.println("out of " + name);
			System.err.println("err of " + name + " ü");
			System.out.print("begun ");
			Thread t = new Thread(() -> System.out.println("by a thread"));
			t.start();
			t.join();
			System.out.print("no end");
			return 1;
		case "floods":
			for (int i = 0; i < 20000; i++)
				System.out.println(name + " line " + i + " of many");
			System.out.write(new byte[40000]);
			return 1;
		case "raises":
			try {
				throw new IOException("/no/such/file");
			} catch (IOException e) {
				throw new IllegalStateException("no input\nfor " + name, e);
			}
		case "errs":
			throw new NoClassDefFoundError("com/example/Gone");
		case "reports":
			Progress.report(0.25, "a quarter");
			hang();
		case "sleeps":
			Progress.report("sleeping");
			hang();
		case "looks":
			Progress.report("looking");
			while (!Progress.isAborted())
				Thread.onSpinWait();
			return 1;
		case "interrupts": // every thread it finds
			Thread[] all = new Thread[100];
			int n = Thread.currentThread().getThreadGroup().getParent().enumerate(all, true);
			for (int i = 0; i < n; i++)
				if (all[i] != Thread.currentThread())
					all[i].interrupt();
			return List.of(n);
		case "exits":
			System.exit(0);
		default:
			throw new IllegalArgumentException(does);
		}
	}

	private static void hang() throws InterruptedException {
		Thread.sleep(3_600_000);
	}
}
