package dss.kernel;

import java.lang.management.GarbageCollectorMXBean;
import java.lang.management.ManagementFactory;
import java.util.List;

/**
 * Which part of the last seconds went into collecting garbage. A JVM near its heap's end hardly does anything else and appears
 * frozen; the backend reads it here. Samples are taken while a task runs, so that an idle kernel sleeps.
 */
final class GcClock {
	private static final long WINDOW_NS = 10_000_000_000L, STEP_NS = 1_000_000_000L;
	private static final int SAMPLES = (int) (WINDOW_NS / STEP_NS) + 1;

	private final List<GarbageCollectorMXBean> collectors = ManagementFactory.getGarbageCollectorMXBeans();
	private final long[] at = new long[SAMPLES], spentMs = new long[SAMPLES];
	private int count; // samples ever taken; the newest is (count - 1) % SAMPLES

	/** Takes a sample where one is due. Returns when the next one is (nanoTime). */
	long tick(long now) {
		int newest = (count + SAMPLES - 1) % SAMPLES;
		if (count > 0 && now - at[newest] < STEP_NS)
			return at[newest] + STEP_NS;
		at[count % SAMPLES] = now;
		spentMs[count % SAMPLES] = spent();
		count++;
		return now + STEP_NS;
	}

	/** A task begins: what was before it is not its doing. */
	void restart(long now) {
		count = 0;
		tick(now);
	}

	/** 0 to 1, of the last ten seconds; a task that began later spent nothing before. */
	double fraction(long now) {
		int oldest = count;
		for (int i = Math.max(0, count - SAMPLES); i < count && oldest == count; i++)
			if (now - at[i % SAMPLES] <= WINDOW_NS + STEP_NS)
				oldest = i;
		if (oldest == count && count > 0)
			oldest = count - 1; // frozen for longer than the window: since the last sample
		if (oldest == count || now <= at[oldest % SAMPLES])
			return 0;
		double ms = Math.max(WINDOW_NS, now - at[oldest % SAMPLES]) / 1e6;
		return Math.min(1, Math.max(0, (spent() - spentMs[oldest % SAMPLES]) / ms));
	}

	private long spent() {
		long sum = 0;
		for (GarbageCollectorMXBean collector : collectors)
			sum += Math.max(0, collector.getCollectionTime());
		return sum;
	}
}
