package com.example;

import dss.FutureThread;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/** Fails, with a cause. */
public class Fail implements FutureThread<Void> {
	String message = "the export failed";

	@Override
	public Void run() {
		try {
			Files.readString(Path.of("/no/such/file"));
		} catch (IOException e) {
			throw new IllegalStateException(message, e);
		}
		return null;
	}
}
