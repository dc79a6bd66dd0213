/** A future kernel: runs one FutureThread after the other. In no package, so that process lists show this very word. */
public final class DSSFutureKernelMain {
	private DSSFutureKernelMain() {
	}

	public static void main(String[] args) {
		dss.kernel.Main.serveFutures();
	}
}
