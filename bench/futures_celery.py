"""futures_celery: the same load on Celery with Redis. `celery -A futures_celery worker` runs it, `python3 futures_celery.py COUNT
WINDOW` measures: one task after the other, then WINDOW of them under way. Prints "p50_us p99_us per_second" of each.

BENCH_REDIS: the URL of a Redis server that calls fsync for every write."""
import os
import sys
import threading
import time

import celery

url = os.environ["BENCH_REDIS"]
app = celery.Celery("futures_celery", broker=url, backend=url)
app.conf.update(task_acks_late=True, worker_prefetch_multiplier=4, task_serializer="json", result_serializer="json",
                accept_content=["json"], broker_connection_retry_on_startup=True)


@app.task(name="echo")
def echo(value):
    return value


def tell(times, total):
    times.sort()
    print("%d %d %.1f" % (times[len(times) // 2] * 1e6, times[len(times) * 99 // 100] * 1e6, len(times) / total))


def one_by_one(count):
    times, first = [], time.monotonic()
    for i in range(count):
        begin = time.monotonic()
        assert echo.delay(i).get(timeout=30) == i
        times.append(time.monotonic() - begin)
    tell(times, time.monotonic() - first)


def many(count, window):
    """Results come in any order: whoever has one asks for the next."""
    times, lock, left, first = [], threading.Lock(), [count], time.monotonic()

    def work():
        while True:
            with lock:
                if not left[0]:
                    return
                left[0] -= 1
            begin = time.monotonic()
            echo.delay(1).get(timeout=60)
            times.append(time.monotonic() - begin)

    threads = [threading.Thread(target=work) for _ in range(window)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    tell(times, time.monotonic() - first)


if __name__ == "__main__":
    echo.delay(0).get(timeout=60)
    one_by_one(int(sys.argv[1]))
    many(int(sys.argv[1]), int(sys.argv[2]))
