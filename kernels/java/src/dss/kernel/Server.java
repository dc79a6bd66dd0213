package dss.kernel;

import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.StandardSocketOptions;
import java.nio.ByteBuffer;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import java.util.function.Supplier;

/**
 * The server thread: one selector over all connections; sleeps until something happens. A connection is read while nothing is
 * left to answer on it: requests sent ahead wait in the socket, so memory stays bounded. A route gives an answer at once, or a
 * Waiting that is asked again whenever the task changed.
 */
final class Server {
	private static final int CONNECTIONS = 64; // at most; the backend needs two or three
	private static final long S = 1_000_000_000L; // all spans in nanoseconds
	private static final long FIRST_REQUEST_NS = 15 * S; // a new connection must say something sensible within
	private static final long HEAD_NS = 10 * S, BODY_NS = 60 * S; // from a request's first byte
	private static final long SEND_NS = 60 * S; // an answer must move within
	private static final long CLOSE_NS = S; // at the end: for answers under way
	private static final int CHUNK = 64 * 1024;
	private static final long NEVER = Desk.NEVER;

	/** What a request is answered with: {@code bytes}, or a wait. */
	static final class Answer {
		final byte[] bytes;
		final Supplier<byte[]> look, giveUp;
		final long deadline;

		private Answer(byte[] bytes, Supplier<byte[]> look, Supplier<byte[]> giveUp, long deadline) {
			this.bytes = bytes;
			this.look = look;
			this.giveUp = giveUp;
			this.deadline = deadline;
		}

		static Answer now(byte[] bytes) {
			return new Answer(bytes, null, null, 0);
		}

		/** {@code look} gives null until the answer is due; {@code giveUp} gives it at the deadline (nanoTime). */
		static Answer waiting(Supplier<byte[]> look, Supplier<byte[]> giveUp, long deadline) {
			return new Answer(null, look, giveUp, deadline);
		}
	}

	private static final class Connection {
		final SocketChannel channel;
		final SelectionKey key;
		final Http.Input input = new Http.Input();
		ByteBuffer toSend; // what could not be sent yet
		Http.Request request; // head read, body still coming
		Answer waiting;
		boolean waitingKeepsAlive;
		long deadline;
		boolean hasAnswered, hasProved, isClosing; // hasProved: came with the task token, this is the backend

		Connection(SocketChannel channel, SelectionKey key) {
			this.channel = channel;
			this.key = key;
			deadline = System.nanoTime() + FIRST_REQUEST_NS;
		}
	}

	private final ServerSocketChannel listener;
	private final Selector selector;
	private final Set<Connection> connections = new LinkedHashSet<>();
	private final ByteBuffer chunk = ByteBuffer.allocateDirect(CHUNK);
	private final Thread thread = new Thread(this::run, "kernel-server");
	private Routes routes;
	private Runnable onLoss;
	private volatile long closeBy = NEVER;
	private volatile boolean hasBackend;

	/** Listens at once; answers after start(). */
	Server(String host, int port) throws IOException {
		listener = ServerSocketChannel.open();
		listener.setOption(StandardSocketOptions.SO_REUSEADDR, true);
		InetSocketAddress address = new InetSocketAddress(host, port);
		if (address.isUnresolved())
			throw new IOException("unknown host");
		listener.bind(address, CONNECTIONS);
		listener.configureBlocking(false);
		selector = Selector.open();
		listener.register(selector, SelectionKey.OP_ACCEPT);
		thread.setDaemon(true);
	}

	int port() {
		return listener.socket().getLocalPort();
	}

	/** {@code onLoss} is called when the backend's last connection went. */
	void start(Routes to, Runnable whenLost) {
		routes = to;
		onLoss = whenLost;
		thread.start();
	}

	/** From any thread. */
	void wake() {
		if (Thread.currentThread() != thread)
			selector.wakeup();
	}

	boolean hasBackend() {
		return hasBackend;
	}

	/** Sends what is due and ends the thread. */
	void close() {
		closeBy = System.nanoTime() + CLOSE_NS;
		selector.wakeup();
		try {
			thread.join((CLOSE_NS + S / 2) / 1_000_000);
		} catch (InterruptedException e) {
			// then without waiting
		}
	}

	// --- the loop ---

	private void run() {
		try {
			long due = routes.tick(System.nanoTime());
			while (closeBy == NEVER || isSending())
				due = turn(due);
		} catch (Throwable e) {
			// Without its server a kernel is of no use to anyone, and nobody would learn why.
			e.printStackTrace();
			Runtime.getRuntime().halt(Main.EXIT_BROKEN);
		}
	}

	private long turn(long due) throws IOException {
		long ms = due == NEVER ? 0 : Math.max(1, (due - System.nanoTime() + 999_999) / 1_000_000);
		selector.select(this::serve, ms);
		routes.tick(System.nanoTime());
		long now = System.nanoTime();
		for (Connection c : List.copyOf(connections))
			lookAfter(c, now);
		due = Math.min(closeBy, routes.tick(now)); // again: a request answered just now may have begun a task
		for (Connection c : connections)
			due = Math.min(due, c.waiting != null ? c.waiting.deadline : c.deadline);
		return due;
	}

	private boolean isSending() {
		if (System.nanoTime() - closeBy >= 0)
			return false;
		for (Connection c : connections)
			if (c.toSend != null || c.waiting != null)
				return true;
		return false;
	}

	private void serve(SelectionKey key) {
		if (key.channel() == listener) {
			accept();
			return;
		}
		Connection c = (Connection) key.attachment();
		try {
			if (key.isValid() && key.isWritable())
				sendMore(c);
			if (key.isValid() && key.isReadable() && !receive(c))
				return;
			advance(c);
		} catch (RuntimeException e) {
			e.printStackTrace();
			drop(c);
		}
	}

	private void accept() {
		try {
			SocketChannel channel;
			while ((channel = listener.accept()) != null) {
				if (connections.size() >= CONNECTIONS && !makeRoom()) {
					channel.close();
					continue;
				}
				channel.configureBlocking(false);
				channel.setOption(StandardSocketOptions.TCP_NODELAY, true);
				SelectionKey key = channel.register(selector, SelectionKey.OP_READ);
				Connection c = new Connection(channel, key);
				key.attach(c);
				connections.add(c);
			}
		} catch (IOException e) {
			pause(); // out of descriptors: the socket stays readable, do not spin on it
		}
	}

	private static void pause() {
		try {
			Thread.sleep(50);
		} catch (InterruptedException e) {
			// sooner, then
		}
	}

	/** The oldest stranger goes; whoever proved to be the backend stays. */
	private boolean makeRoom() {
		for (Connection c : connections)
			if (!c.hasProved) {
				drop(c);
				return true;
			}
		return false;
	}

	/** What the task's change or the time brings to one connection. */
	private void lookAfter(Connection c, long now) {
		if (c.waiting != null) {
			byte[] data = c.waiting.look.get();
			if (data == null && now - c.waiting.deadline >= 0)
				data = c.waiting.giveUp.get();
			if (data != null) {
				c.waiting = null;
				c.isClosing = !c.waitingKeepsAlive;
				send(c, data);
				advance(c);
			}
		} else if (c.deadline != NEVER && now - c.deadline >= 0) {
			if (c.toSend == null && (c.input.size() > 0 || c.request != null)) {
				refuse(c, new Refuse(408, "the request did not come to its end in time"));
				settle(c);
			} else {
				drop(c);
			}
		}
	}

	// --- one connection ---

	/** Reads once. False: the connection is gone. */
	private boolean receive(Connection c) {
		int n;
		chunk.clear();
		try {
			n = c.channel.read(chunk);
		} catch (IOException e) {
			n = -1;
		}
		if (n < 0) {
			drop(c);
			return false;
		}
		if (c.isClosing || n == 0)
			return true; // the answer is out; the peer may still be talking
		if (c.input.size() == 0 && c.request == null && c.waiting == null)
			c.deadline = System.nanoTime() + HEAD_NS;
		c.input.add(chunk.flip());
		return true;
	}

	/** Answers as many requests as are there, one after the other. */
	private void advance(Connection c) {
		try {
			while (c.waiting == null && c.toSend == null && !c.isClosing && hasRequest(c)) {
				Http.Request request = c.request;
				c.request = null;
				answer(c, request);
			}
		} catch (Refuse refusal) {
			refuse(c, refusal);
		}
		settle(c);
	}

	/** True: c.request is complete. */
	private boolean hasRequest(Connection c) throws Refuse {
		if (c.request == null) {
			c.request = Http.takeHead(c.input);
			if (c.request == null)
				return false;
			// Before the body is read: a stranger does not get to fill our memory.
			if (routes.check(c.request) && !c.hasProved)
				c.hasProved = hasBackend = true;
			if (c.request.bodyBytes > c.input.size()) {
				c.deadline = System.nanoTime() + BODY_NS;
				if (c.request.headers.getOrDefault("expect", "").equalsIgnoreCase("100-continue"))
					send(c, Http.CONTINUE);
			}
		}
		if (c.input.size() < c.request.bodyBytes)
			return false;
		if (c.request.bodyBytes > 0)
			c.request.body = c.input.take(c.request.bodyBytes);
		return true;
	}

	private void answer(Connection c, Http.Request request) {
		byte[] data;
		try {
			Answer answer = routes.answer(request);
			if (answer.bytes == null) {
				c.waiting = answer;
				c.waitingKeepsAlive = request.keepsAlive;
				return;
			}
			data = answer.bytes;
		} catch (Refuse refusal) {
			data = refusal.answer(request.keepsAlive);
		} catch (RuntimeException e) {
			e.printStackTrace();
			refuse(c, new Refuse(500, "Internal", "the kernel failed to answer: " + e));
			return;
		}
		c.isClosing = !request.keepsAlive;
		send(c, data);
	}

	/** Where requests begin and end is not known any more: say why, and close. */
	private void refuse(Connection c, Refuse refusal) {
		c.input.skip(c.input.size());
		c.request = null;
		c.isClosing = true;
		send(c, refusal.answer(false));
	}

	private void send(Connection c, byte[] data) {
		c.hasAnswered = true;
		if (c.toSend != null) { // after 100 Continue only
			byte[] both = new byte[c.toSend.remaining() + data.length];
			int before = c.toSend.remaining();
			c.toSend.get(both, 0, before);
			System.arraycopy(data, 0, both, before, data.length);
			data = both;
		}
		c.toSend = ByteBuffer.wrap(data);
		sendMore(c);
	}

	/** Large answers go in pieces: the JDK keeps a buffer outside the heap as large as the largest single write. */
	private void sendMore(Connection c) {
		try {
			while (c.toSend != null && c.toSend.hasRemaining()) {
				int end = c.toSend.limit();
				int wanted = Math.min(CHUNK, c.toSend.remaining());
				c.toSend.limit(c.toSend.position() + wanted);
				int sent = c.channel.write(c.toSend);
				c.toSend.limit(end);
				if (sent < wanted) {
					c.deadline = System.nanoTime() + SEND_NS;
					return;
				}
			}
			c.toSend = null;
			c.deadline = NEVER;
		} catch (IOException e) {
			c.toSend = null;
			c.isClosing = true;
		}
	}

	/** After any step: what to wait for on this connection now, and how long. */
	private void settle(Connection c) {
		if (!connections.contains(c))
			return;
		if (c.isClosing && c.toSend == null) {
			hangUp(c);
			return;
		}
		if (c.waiting == null && c.toSend == null) {
			boolean isBetween = c.input.size() == 0 && c.request == null && c.hasAnswered;
			if (isBetween)
				c.deadline = NEVER; // as long as it likes
			else if (c.deadline == NEVER)
				c.deadline = System.nanoTime() + HEAD_NS;
		}
		boolean isFull = (c.waiting != null || c.toSend != null) && c.input.size() >= Http.HEAD_BYTES;
		int ops = (isFull ? 0 : SelectionKey.OP_READ) | (c.toSend != null ? SelectionKey.OP_WRITE : 0);
		if (c.key.interestOps() != ops)
			c.key.interestOps(ops);
	}

	/** Closes so that the last answer arrives: a plain close with unread input would reset the connection. */
	private void hangUp(Connection c) {
		try {
			c.channel.shutdownOutput();
			do
				chunk.clear();
			while (c.channel.read(chunk) > 0);
		} catch (IOException e) {
			// it is gone already
		}
		drop(c);
	}

	private void drop(Connection c) {
		if (!connections.remove(c))
			return;
		try {
			c.channel.close();
		} catch (IOException e) {
			// nothing is left to do with it
		}
		boolean isLinked = false;
		for (Connection other : connections)
			isLinked |= other.hasProved;
		hasBackend = isLinked;
		if (c.hasAnswered && closeBy == NEVER && !isLinked)
			onLoss.run();
	}
}
