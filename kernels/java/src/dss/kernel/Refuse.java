package dss.kernel;

/** This request is answered with {@code status} and the message. */
final class Refuse extends Exception {
	final int status;
	final String clazz;

	Refuse(int status, String clazz, String message) {
		super(message, null, false, false);
		this.status = status;
		this.clazz = clazz;
	}

	Refuse(int status, String message) {
		this(status, "BadRequest", message);
	}

	byte[] answer(boolean keepsAlive) {
		return Http.answer(status, Outcome.wrapError(clazz, getMessage()), keepsAlive);
	}
}
