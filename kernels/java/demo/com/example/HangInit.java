package com.example;

import dss.FutureThread;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

/** Hangs in its class initialiser, before anything of it can run; not even an interrupt helps. */
public class HangInit implements FutureThread<Boolean> {
	private static final boolean DONE = hang();

	private static boolean hang() {
		CountDownLatch never = new CountDownLatch(1);
		while (true) {
			try {
				if (never.await(1, TimeUnit.HOURS))
					return true;
			} catch (InterruptedException e) {
				continue; // that is what is wrong with it
			}
		}
	}

	@Override
	public Boolean run() {
		return DONE;
	}
}
