"""What the journal costs in time, memory and disk: `python -m interop.journal_figures`.

Two scenarios with our executable on a data directory of its own:

- *backlog*: so many persistent messages into a queue nobody consumes from, then SIGKILL, a restart, and all of
  them consumed in order;
- *flow*: so many persistent messages through a queue that stays short.

Every message has its number in its body and is checked on its way out: a run that lost, repeated or reordered
one is an error, no result. Memory is the resident set of the broker's process, disk what `segments/` holds, both
looked at many times a second. Publisher and consumer are raw sockets in this process; the confirm window is
counted in messages.
"""

from __future__ import annotations

import argparse
import os
import select
import shutil
import socket
import struct
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import psutil

from amqp_broker.perf.consumer import delivery_shape
from amqp_broker.perf.publisher import ConfirmCount
from amqp_broker.perf.run import PerfError
from amqp_broker.perf.wire import Client, WireError, ack_frame, publish_frames
from interop.machine import current_load, describe_machine
from interop.own_broker import OwnBroker, started_broker
from interop.processes import ProcessError

BODY_OCTETS = 1024
BATCH = 250
"""Messages sent with one call."""

PREFETCH_COUNT = 1000
ACK_EVERY = 250
LEAD = 2000
"""Messages the publisher of a flow may be ahead of its consumer: the queue stays short."""

QUEUE = "interop-journal"
DEADLINE_S = 60.0
RECOVERY_DEADLINE_S = 900.0
LOOK_S = 0.1
PROGRESS_S = 10.0
MIB = 1 << 20


class NumberedPublisher:
    """Publishes messages with consecutive numbers, never more of them unconfirmed than the window."""

    def __init__(self, url: str, window: int) -> None:
        self.client = Client(url, deadline_s=DEADLINE_S)
        self.client.queue_declare(QUEUE, durable=True)
        self.client.confirm_select()
        self.published = 0
        self._window = window
        self._confirms = ConfirmCount()
        self._batch = min(BATCH, max(1, window // 4))
        frames = publish_frames("", QUEUE, bytes(BODY_OCTETS), persistent=True)
        self._frames = bytearray(frames * self._batch)
        body_at = len(frames) - 1 - BODY_OCTETS
        self._numbers_at = range(body_at, len(self._frames), len(frames))

    @property
    def confirmed(self) -> int:
        return self._confirms.count

    @property
    def may_publish(self) -> bool:
        return self.published - self.confirmed + self._batch <= self._window

    def publish(self) -> None:
        """Send a batch."""
        pack, frames = struct.Struct(">Q").pack_into, self._frames
        for number, at in enumerate(self._numbers_at, self.published):
            pack(frames, at, number)
        self.client.sock.sendall(frames)
        self.published += self._batch

    def receive(self) -> None:
        """Wait for confirms."""
        data = self.client.sock.recv(65536)
        if not data:
            raise PerfError("the broker closed the publisher's socket")
        self._confirms.receive(data)


class NumberedConsumer:
    """Consumes, checks that the numbers come one after the other, and acknowledges.

    Attributes:
        count: messages consumed so far, which is the number of the next.
    """

    def __init__(self, url: str) -> None:
        self.client = Client(url, deadline_s=DEADLINE_S)
        self.client.queue_declare(QUEUE, durable=True)
        self.client.qos(PREFETCH_COUNT)
        self.client.consume(QUEUE, "c", no_ack=False)
        self.count = 0
        self._acked = 0
        self._data, self.client.pending = self.client.pending, b""
        self._delivery_octets = 0
        self._number = struct.Struct("")

    def receive(self) -> None:
        """Wait for deliveries.

        Raises:
            PerfError: another message was due.
        """
        data = self.client.sock.recv(MIB)
        if not data:
            raise PerfError("the broker closed the consumer's socket")
        self._data += data
        if not self._delivery_octets:
            shape = delivery_shape(self._data)
            if shape is None:
                return
            self._delivery_octets = shape.octets
            self._number = struct.Struct(f">{shape.body_at}xQ{shape.octets - shape.body_at - 8}x")
        whole = len(self._data) // self._delivery_octets * self._delivery_octets
        numbers = [number for (number,) in self._number.iter_unpack(self._data[:whole])]
        self._data = self._data[whole:]
        if numbers != list(range(self.count, self.count + len(numbers))):
            wrong = next(pair for pair in enumerate(numbers, self.count) if pair[0] != pair[1])
            raise PerfError(f"message {wrong[1]} where {wrong[0]} was due")
        self.count += len(numbers)
        if tags := range(self._acked + ACK_EVERY, self.count + 1, ACK_EVERY):
            self._acked = tags[-1]
            self.client.sock.sendall(ack_frame(self._acked, multiple=True))

    def finish(self) -> None:
        """Acknowledge the rest, and make sure that nothing else is in the queue."""
        if self.count > self._acked:
            self.client.sock.sendall(ack_frame(self.count, multiple=True))
        left = self.client.queue_purge(QUEUE)
        if left:
            raise PerfError(f"{left} messages were left in the queue")
        self.client.close()


class Watch:
    """Looks at a broker's memory and disk while it works, and tells how far it is.

    Attributes:
        rss: octets of resident memory, the most that was seen.
        segments: files of segments, the most that was seen.
        octets: in the files of segments, the most that was seen.
    """

    def __init__(self, broker: OwnBroker, directory: Path, what: str, total: int) -> None:
        self.rss = self.segments = self.octets = 0
        self._process = psutil.Process(broker.pid)
        self._folder = directory / "segments"
        self._what = what
        self._total = total
        self._look_at = 0.0
        self._tell_at = time.monotonic() + PROGRESS_S
        self._told = (time.monotonic(), 0)

    def look(self, done: int) -> None:
        """Look, if it is time; to be called as often as one likes."""
        now = time.monotonic()
        if now < self._look_at:
            return
        self._look_at = now + LOOK_S
        self.rss = max(self.rss, self._process.memory_info().rss)
        sizes = list(_sizes(self._folder))
        self.segments = max(self.segments, len(sizes))
        self.octets = max(self.octets, sum(sizes))
        if now >= self._tell_at:
            self._tell_at = now + PROGRESS_S
            rate = (done - self._told[1]) / (now - self._told[0])
            self._told = (now, done)
            print(
                f"{self._what}: {done:,} of {self._total:,}, {rate:,.0f}/s, memory {self.rss / MIB:.0f} MiB, "
                f"{len(sizes)} segments, {sum(sizes) / MIB:,.0f} MiB",
                file=sys.stderr,
                flush=True,
            )


def _sizes(folder: Path) -> Iterator[int]:
    """Of the files in a folder that is changing meanwhile."""
    with os.scandir(folder) as entries:
        for entry in entries:
            try:
                yield entry.stat().st_size
            except FileNotFoundError:
                continue


class Backlog(NamedTuple):
    """A queue that grew; see `measure_backlog`."""

    messages: int
    first_rate: float
    last_rate: float
    publish_rss: int
    disk_octets: int
    ready_s: float
    ready_rss: int
    drain_rate: float
    drain_rss: int
    others_load: float


def measure_backlog(directory: Path, messages: int, window: int, options: list[str], *, is_cold: bool) -> Backlog:
    """Fill, kill, recover, drain."""
    part = min(1_000_000, max(1, messages // 5))
    at = {0: time.monotonic()}
    load = current_load()
    with started_broker("--data-dir", str(directory), *options) as broker:
        publisher = NumberedPublisher(broker.url, window)
        watch = Watch(broker, directory, "backlog, publishing", messages)
        at[0] = time.monotonic()
        marks = [part, messages - part, messages]
        while publisher.confirmed < messages:
            if publisher.published < messages and publisher.may_publish:
                publisher.publish()
            else:
                publisher.receive()
            while marks and publisher.confirmed >= marks[0]:
                at[marks.pop(0)] = time.monotonic()
            watch.look(publisher.confirmed)
        messages = publisher.published
        broker.kill()
    disk_octets = sum(_sizes(directory / "segments"))
    if is_cold:
        drop_from_cache(directory / "segments")
    with started_broker("--data-dir", str(directory), *options, deadline_s=RECOVERY_DEADLINE_S) as broker:
        ready_rss = psutil.Process(broker.pid).memory_info().rss
        print(f"backlog: ready after {broker.ready_s:.1f} s", file=sys.stderr, flush=True)
        consumer = NumberedConsumer(broker.url)
        drain = Watch(broker, directory, "backlog, draining", messages)
        drain_at = time.monotonic()
        while consumer.count < messages:
            consumer.receive()
            drain.look(consumer.count)
        drained_s = time.monotonic() - drain_at
        consumer.finish()
        broker.stop(deadline_s=DEADLINE_S)
    times = sorted(at.items())
    (_, begins), (first, first_ends), *_, (before, last_begins), (last, last_ends) = times
    return Backlog(
        messages=messages,
        first_rate=first / (first_ends - begins),
        last_rate=(last - before) / (last_ends - last_begins),
        publish_rss=watch.rss,
        disk_octets=disk_octets,
        ready_s=broker.ready_s,
        ready_rss=ready_rss,
        drain_rate=messages / drained_s,
        drain_rss=drain.rss,
        others_load=current_load().others_since(load),
    )


class Flow(NamedTuple):
    """A queue that stayed short; see `measure_flow`."""

    messages: int
    rate: float
    segments: int
    octets: int
    rss: int
    others_load: float


def measure_flow(directory: Path, messages: int, window: int, options: list[str]) -> Flow:
    """Publish and consume at the same time."""
    load = current_load()
    with started_broker("--data-dir", str(directory), *options) as broker:
        publisher, consumer = NumberedPublisher(broker.url, window), NumberedConsumer(broker.url)
        watch = Watch(broker, directory, "flow", messages)
        actions: dict[socket.socket, Callable[[], None]] = {
            publisher.client.sock: publisher.receive,
            consumer.client.sock: consumer.receive,
        }
        begins = time.monotonic()
        while consumer.count < messages or publisher.confirmed < publisher.published:
            may_publish = (
                publisher.published < messages and publisher.may_publish and publisher.published - consumer.count < LEAD
            )
            if may_publish:
                publisher.publish()
            readable = select.select(list(actions), [], [], 0 if may_publish else DEADLINE_S)[0]
            if not readable and not may_publish:
                raise PerfError(f"nothing came for {DEADLINE_S:g} s")
            for sock in readable:
                actions[sock]()
            watch.look(consumer.count)
        rate = consumer.count / (time.monotonic() - begins)
        consumer.finish()
        broker.stop()
    return Flow(consumer.count, rate, watch.segments, watch.octets, watch.rss, current_load().others_since(load))


def drop_from_cache(folder: Path) -> None:
    """Have the kernel forget what it keeps of these files in memory, as after power came back."""
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def backlog_table(rows: list[Backlog]) -> str:
    lines = [
        "| backlog | published/s, first part | last part | memory | on disk | ready after kill | memory then "
        "| drained/s, in order | memory | others |",
        "|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {row.messages:,} | {row.first_rate:,.0f} | {row.last_rate:,.0f} | {row.publish_rss / MIB:.0f} MiB "
        f"| {row.disk_octets / MIB:,.0f} MiB | {row.ready_s:.1f} s | {row.ready_rss / MIB:.0f} MiB "
        f"| {row.drain_rate:,.0f} | {row.drain_rss / MIB:.0f} MiB | {row.others_load:.0%} |"
        for row in rows
    ]
    return "\n".join(lines)


def flow_table(row: Flow) -> str:
    return (
        "| flow | messages/s | segments, at most | on disk, at most | memory, at most | others |\n"
        "|---:|---:|---:|---:|---:|---:|\n"
        f"| {row.messages:,} | {row.rate:,.0f} | {row.segments} | {row.octets / MIB:.0f} MiB "
        f"| {row.rss / MIB:.0f} MiB | {row.others_load:.0%} |"
    )


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m interop.journal_figures", description=__doc__.split("\n")[0])
    parser.add_argument(
        "--backlog",
        type=int,
        action="append",
        metavar="N",
        help="messages of a backlog, 0 for none; may be repeated (default: 1000000 and 5000000)",
    )
    parser.add_argument(
        "--flow", type=int, default=10_000_000, metavar="N", help="messages that flow through (default: %(default)s)"
    )
    parser.add_argument(
        "--messages", type=int, metavar="N", help="all of it smaller: N and N/5 as backlog, 2 N as flow"
    )
    parser.add_argument("--window", type=int, default=1000, help="unconfirmed messages (default: %(default)s)")
    parser.add_argument("--sync", default="always", help="as of amqp-broker (default: %(default)s)")
    parser.add_argument("--cold", action="store_true", help="recover from the disk, not from the kernel's cache")
    parser.add_argument("--directory", type=Path, help="where to make data directories (default: the system's)")
    arguments = parser.parse_args()
    if arguments.messages:
        arguments.backlog, arguments.flow = [arguments.messages // 5, arguments.messages], 2 * arguments.messages
    arguments.backlog = [size for size in arguments.backlog or (1_000_000, 5_000_000) if size]
    return arguments


def main() -> int:
    arguments = parse_arguments()
    print(describe_machine())
    print(f"bodies of {BODY_OCTETS} octets, --sync {arguments.sync}, confirm window {arguments.window}", flush=True)
    options = ["--sync", arguments.sync]
    root = Path(tempfile.mkdtemp(prefix="amqp-broker-figures-", dir=arguments.directory))
    try:
        backlogs = []
        for number, size in enumerate(arguments.backlog):
            directory = root / f"backlog-{number}"
            backlogs.append(measure_backlog(directory, size, arguments.window, options, is_cold=arguments.cold))
            shutil.rmtree(directory)
        if backlogs:
            print(f"\n{backlog_table(backlogs)}", flush=True)
        if arguments.flow:
            print(f"\n{flow_table(measure_flow(root / 'flow', arguments.flow, arguments.window, options))}", flush=True)
    except (PerfError, ProcessError, WireError, OSError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(root)
    return 0


if __name__ == "__main__":
    sys.exit(main())
