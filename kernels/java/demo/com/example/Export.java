package com.example;

import dss.FutureThread;
import dss.Progress;
import java.io.BufferedWriter;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Random;

/** Writes a CSV file of made-up orders, as an export of a dataset would. */
public class Export implements FutureThread<Export.Report> {
	String file = "export.csv";
	int rows = 100_000;

	/** What the export wrote. */
	public record Report(String file, int rows, long bytes, double total) {
	}

	@Override
	public Report run() throws IOException, InterruptedException {
		Path path = Path.of(file).toAbsolutePath();
		Path unfinished = Path.of(path + ".part");
		Random random = new Random(7);
		double total = 0;
		try (BufferedWriter out = Files.newBufferedWriter(unfinished)) {
			out.write("order,customer,amount\n");
			for (int i = 0; i < rows; i++) {
				double amount = random.nextInt(100_000) / 100.0;
				total += amount;
				out.write(i + ",c" + random.nextInt(5000) + "," + amount + "\n");
				if (i % 1000 == 0) {
					Progress.report((double) i / rows, i + " of " + rows + " rows");
					if (Progress.isAborted())
						throw new InterruptedException("stopped after " + i + " rows");
				}
			}
		} catch (IOException | InterruptedException e) {
			Files.deleteIfExists(unfinished);
			throw e;
		}
		Files.move(unfinished, path, java.nio.file.StandardCopyOption.REPLACE_EXISTING);
		Progress.report(1, rows + " rows");
		return new Report(path.toString(), rows, Files.size(path), Math.round(total * 100) / 100.0);
	}
}
