package com.example;

import dss.FutureThread;
import dss.Progress;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** Holds nearly the whole heap and goes on allocating: the JVM only collects garbage and appears frozen. Seen in gcFraction. */
public class Churn implements FutureThread<Long> {
	private static final int CHUNK_BYTES = 256 * 1024;
	double keep = 0.93; // of the heap that the JVM may use
	double seconds = 3600;

	@Override
	public Long run() {
		List<Object[]> kept = new ArrayList<>();
		long room = (long) (Runtime.getRuntime().maxMemory() * keep);
		// Many small objects: each collection has much to look at. What is collected on the way is filled again.
		for (boolean isFull = false; !isFull; isFull = used() >= room - CHUNK_BYTES) {
			while (used() < room) {
				Object[] many = new Object[CHUNK_BYTES / 64];
				Arrays.setAll(many, i -> new long[4]);
				kept.add(many);
			}
			System.gc();
		}
		Progress.report("keeps " + (room >> 20) + " MB");
		long turns = 0, end = System.nanoTime() + (long) (seconds * 1e9);
		for (int at = 0; System.nanoTime() < end && !Progress.isAborted(); turns++, at = (at + 1) % kept.size()) {
			Object[] many = new Object[CHUNK_BYTES / 64];
			Arrays.setAll(many, i -> new long[4]);
			kept.set(at, many);
		}
		return turns;
	}

	private static long used() {
		return Runtime.getRuntime().totalMemory() - Runtime.getRuntime().freeMemory();
	}
}
