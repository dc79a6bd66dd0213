"""futures_executor COUNT WINDOW: the same load on concurrent.futures.ProcessPoolExecutor with two processes: nothing is durable, nobody
else can submit or read. Prints "p50_us p99_us per_second", one task after the other and with WINDOW of them under way."""
import concurrent.futures as cf
import sys
import time


def echo(value):
    return value


def tell(times, total):
    times.sort()
    print("%d %d %.1f" % (times[len(times) // 2] * 1e6, times[len(times) * 99 // 100] * 1e6, len(times) / total))


def main(count, window):
    with cf.ProcessPoolExecutor(2) as pool:
        list(pool.map(echo, range(20)))
        times, first = [], time.monotonic()
        for i in range(count):
            begin = time.monotonic()
            pool.submit(echo, i).result()
            times.append(time.monotonic() - begin)
        tell(times, time.monotonic() - first)
        times, first, under_way, sent = [], time.monotonic(), {}, 0
        while len(times) < count:
            while sent < count and len(under_way) < window:
                under_way[pool.submit(echo, sent)] = time.monotonic()
                sent += 1
            done, _ = cf.wait(under_way, return_when=cf.FIRST_COMPLETED)
            for future in done:
                times.append(time.monotonic() - under_way.pop(future))
        tell(times, time.monotonic() - first)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
