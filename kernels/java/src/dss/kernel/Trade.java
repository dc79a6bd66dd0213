package dss.kernel;

import com.google.gson.JsonObject;

/** What sort of kernel this is: which tasks it takes, and how it does one. One object for the kernel's life. */
interface Trade {
	/** The types of tasks, as *ready* tells them. */
	String[] types();

	/** Refuses a payload of one of the types before anything is done with it. */
	void check(String type, JsonObject payload) throws Refuse;

	/** A task was accepted and is about to run; nobody has seen it yet. */
	default void take(Task task) throws Refuse {
	}

	/** Does the task in the calling thread, which an order to stop interrupts. Returns its result as JSON. */
	byte[] run(Task task) throws Throwable;

	/** Loads what the first task would have to load. */
	void warm() throws Exception;
}
