"""How fast the journal appends and recovers: `python -m tests.crash.benchmark DIRECTORY [MESSAGES]`."""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path

import trio

from amqp_broker.storage.committer import run_committer
from amqp_broker.storage.disk import OsDisk
from amqp_broker.storage.journal import Journal
from amqp_broker.storage.recovery import recover
from amqp_broker.storage.settings import SyncMode

BODY = bytes(range(256)) * 4


def open_journal(directory: str) -> Journal:
    recovery = recover(OsDisk(), directory)
    for _ in recovery.messages():
        pass
    return Journal(OsDisk(), directory, recovery.journal_state, lambda: b"")


async def fill(directory: str, messages: int, window: int, sync: SyncMode = "always") -> float:
    """Append with so many confirms outstanding; return messages a second."""
    journal = open_journal(directory)
    journal.settings = type(journal.settings)(sync=sync)
    confirmed = 0
    wake = trio.Event()

    def confirm() -> None:
        nonlocal confirmed
        confirmed += 1
        wake.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_committer, journal)
        began = time.perf_counter()
        for number in range(messages):
            while number - confirmed >= window:
                wake = trio.Event()
                await wake.wait()
            journal.append_publish(b"exchange\0key", b"header", BODY, [(1, number, 0, 0)])
            journal.when_durable(confirm)
        while confirmed < messages:
            wake = trio.Event()
            await wake.wait()
        rate = messages / (time.perf_counter() - began)
        nursery.cancel_scope.cancel()
    return rate


def main() -> None:
    directory = str(Path(sys.argv[1]) / "journal-benchmark")
    messages = int(sys.argv[2]) if len(sys.argv) > 2 else 1_000_000
    for window, share in ((1, 500), (100, 10), (1000, 10), (10_000, 1)):
        shutil.rmtree(directory, ignore_errors=True)
        count = messages // share
        rate = trio.run(fill, directory, count, window)
        print(f"append {count} messages of 1 KiB, window {window}: {rate:.0f} a second")
    began, cpu = time.perf_counter(), time.process_time()
    recovery = recover(OsDisk(), directory)
    scanned, scanned_cpu = time.perf_counter(), time.process_time()
    count = sum(1 for _ in recovery.messages())
    done, done_cpu = time.perf_counter(), time.process_time()
    print(
        f"recover {count} messages: {scanned - began:.2f} s to scan ({scanned_cpu - cpu:.2f} s of CPU), "
        f"{done - scanned:.2f} s to yield ({done_cpu - scanned_cpu:.2f} s of CPU)"
    )
    shutil.rmtree(directory)


if __name__ == "__main__":
    main()
