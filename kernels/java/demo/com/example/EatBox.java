package com.example;

import dss.FutureThread;
import dss.Progress;
import java.io.IOException;
import java.nio.MappedByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;

/** Takes memory outside the heap, which no option of the JVM limits: ends as oom_limit where the box is smaller. */
public class EatBox implements FutureThread<Integer> {
	private static final int STEP_MB = 8, PAGE_BYTES = 4096;
	int megabytes = 1 << 20;
	int pauseMs;

	@Override
	public Integer run() throws IOException, InterruptedException {
		List<MappedByteBuffer> eaten = new ArrayList<>();
		// Written pages of a private mapping are plain memory of this process; the file stays empty and has no name.
		Path file = Files.createTempFile("eat", null);
		try (FileChannel empty = FileChannel.open(file, StandardOpenOption.READ, StandardOpenOption.WRITE, StandardOpenOption.DELETE_ON_CLOSE)) {
			for (int mb = STEP_MB; mb <= megabytes; mb += STEP_MB) {
				MappedByteBuffer step = empty.map(FileChannel.MapMode.PRIVATE, 0, (long) STEP_MB << 20);
				for (int at = 0; at < step.capacity(); at += PAGE_BYTES)
					step.put(at, (byte) 1);
				eaten.add(step);
				Progress.report(mb + " MB outside the heap");
				Thread.sleep(pauseMs);
			}
		}
		return eaten.size() * STEP_MB;
	}
}
