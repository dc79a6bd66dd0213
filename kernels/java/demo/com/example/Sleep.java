package com.example;

import dss.FutureThread;
import dss.Progress;

/** Sleeps, and says how far it is. */
public class Sleep implements FutureThread<Double> {
	double seconds = 1;

	@Override
	public Double run() throws InterruptedException {
		long begun = System.nanoTime(), end = begun + (long) (seconds * 1e9);
		for (long now = begun; now < end; now = System.nanoTime()) {
			Progress.report((now - begun) / (seconds * 1e9), "sleeping");
			Thread.sleep(Math.min(100, (end - now) / 1_000_000 + 1));
		}
		return seconds;
	}
}
