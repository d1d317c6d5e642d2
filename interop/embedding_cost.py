"""What an embedded broker costs a test suite: `python -m interop.embedding_cost`."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from statistics import median

ROUNDS = 30

_FIRST = """
import time
began = time.perf_counter()
from amqp_broker.embedding import run_in_thread
imported = time.perf_counter()
with run_in_thread() as broker:
    started = time.perf_counter()
print(imported - began, started - imported)
"""


def _first() -> tuple[float, float]:
    done = subprocess.run([sys.executable, "-c", _FIRST], capture_output=True, text=True, check=True)
    imports_s, start_s = map(float, done.stdout.split())
    return imports_s, start_s


def _each(action: Callable[[int], object]) -> float:
    """Seconds that the middle one of many rounds takes."""
    times = []
    for number in range(ROUNDS):
        began = time.perf_counter()
        action(number)
        times.append(time.perf_counter() - began)
    return median(times)


def main() -> None:
    """Measure, and print a table in milliseconds."""
    from amqp_broker.embedding import run_in_thread

    def start_and_stop(_number: int) -> None:
        with run_in_thread():
            pass

    imports_s, start_s = _first()
    rows = {"import, once a process": imports_s, "first start": start_s, "start and stop": _each(start_and_stop)}
    with run_in_thread() as broker:

        def use_vhost(number: int) -> None:
            with broker.fresh_vhost(f"test-{number}"):
                pass

        rows["a test: fresh vhost, made and dropped"] = _each(use_vhost)
        rows["a question, such as broker.queues"] = _each(lambda _: broker.queues)
    for name, seconds in rows.items():
        print(f"{name:40} {seconds * 1000:8.2f} ms")


if __name__ == "__main__":
    main()
