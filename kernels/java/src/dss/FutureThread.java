package dss;

/**
 * Work that may run in another process: a future kernel makes it from its fields, runs it, and hands its value back as JSON.
 *
 * <pre>{@code
 * public class Export implements FutureThread<Export.Report> {
 *     String dataset, file;                                  // the state: all fields that are neither static nor transient
 *     public Report run() throws Exception {
 *         for (int i = 0; i < rows; i++) {
 *             Progress.report((double) i / rows, i + " rows");
 *             if (Progress.isAborted()) return null;
 *             ...
 * }}}</pre>
 *
 * The class needs a name of its own (no lambda, no anonymous or inner class) and is best given a constructor without arguments:
 * without one its field initialisers do not run. State and result are JSON as Gson makes it: numbers, texts, lists, maps,
 * plain objects; no NaN, no cycles, 64 MB at most. What {@code run} throws is reported with class, message, stack and causes.
 *
 * @param <R> the result
 */
public interface FutureThread<R> {
	/** Does the work, in a thread of its own. An abort interrupts that thread. */
	R run() throws Exception;

	/**
	 * Called in another thread when someone asks the running task to stop, or its time is over, right after the interrupt.
	 * For what an interrupt does not reach: close the socket, cancel the statement.
	 */
	default void abort() {
	}
}
