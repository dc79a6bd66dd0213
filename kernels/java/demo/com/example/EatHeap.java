package com.example;

import dss.FutureThread;
import dss.Progress;
import java.util.ArrayList;
import java.util.List;

/** Fills the JVM's heap step by step: ends as oom_heap where the heap is smaller. */
public class EatHeap implements FutureThread<Integer> {
	int megabytes = 1 << 20;
	int pauseMs;

	@Override
	public Integer run() throws InterruptedException {
		List<byte[]> eaten = new ArrayList<>();
		while (eaten.size() < megabytes) {
			eaten.add(new byte[1 << 20]);
			Progress.report(eaten.size() + " MB of heap");
			Thread.sleep(pauseMs);
		}
		return eaten.size();
	}
}
