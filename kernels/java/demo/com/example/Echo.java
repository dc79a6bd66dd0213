package com.example;

import dss.FutureThread;
import java.util.Map;

/** Gives back what it was given. */
public class Echo implements FutureThread<Map<String, Object>> {
	Map<String, Object> value;

	@Override
	public Map<String, Object> run() {
		return value;
	}
}
