/** A job kernel: runs one job after the other, activity by activity. In no package, so that process lists show this very word. */
public final class DSSJobKernelMain {
	private DSSJobKernelMain() {
	}

	public static void main(String[] args) {
		dss.kernel.Main.serveJobs();
	}
}
