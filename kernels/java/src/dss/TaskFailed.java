package dss;

import com.google.gson.JsonElement;

/** A task ended without a result: what it threw, or the node's word for why it ended. */
public final class TaskFailed extends Exception {
	private static final long serialVersionUID = 1;
	/** Class of what the task threw; {@link #stack} is where, as text. */
	public final String clazz, stack;
	/** The node's word: oom_limit, oom_heap, deadline, crash, ...; "" where it has none. */
	public final String reason;
	/** Numbers to it (limitBytes, peakBytes, ...); null where there are none. */
	public final transient JsonElement detail;

	TaskFailed(String clazz, String message, String stack, String reason, JsonElement detail, TaskFailed cause) {
		super(clazz.isEmpty() ? message : clazz + ": " + message, cause);
		this.clazz = clazz;
		this.stack = stack;
		this.reason = reason;
		this.detail = detail;
	}
}
