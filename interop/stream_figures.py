"""What a stream costs: `python -m interop.stream_figures`.

So many persistent messages are published to a stream of our executable, on a data directory of its own, with
confirms; then one consumer reads all of it, from the first. After a stop and a start the system forgets what it has of
the files, and it is read again from disk, while remote calls go on beside it. Told are the rates, the resident set,
the median of the calls before and meanwhile, and how long a consumer waits that begins in the middle.
"""

from __future__ import annotations

import os
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path

import psutil

from amqp_broker.perf.board import SPAWN
from amqp_broker.perf.consumer import Shape, delivery_shape
from amqp_broker.perf.run import PerfError
from amqp_broker.perf.wire import (
    BASIC_CONSUME,
    BASIC_CONSUME_OK,
    Client,
    ack_frame,
    publish_frames,
    shortstr,
    table,
)
from interop import figures
from interop.filling import publish_confirmed
from interop.own_broker import started_broker
from interop.probes import round_trip_us

STREAM = "interop-stream"
BATCH = 250
PREFETCH = 5000
ACK_EVERY = 500
BUFFER_OCTETS = 1 << 20
CALLS_S = 2.0
DEADLINE_S = 60.0
MIB = 1 << 20


def measure(directory: str, messages: int, size: int, window: int) -> None:
    """Publish, read, stop, start, read from disk."""
    with started_broker("--data-dir", directory) as broker:
        print(f"call before: {round_trip_us(broker.url, 0.5, CALLS_S):.0f} µs")
        with Client(broker.url, deadline_s=DEADLINE_S) as client:
            client.queue_declare(STREAM, durable=True, arguments={"x-queue-type": "stream"})
            frames = publish_frames("", STREAM, bytes(size), persistent=True) * BATCH
            rate = publish_confirmed(client, frames, BATCH, messages, window)
        print(f"{messages:,} of {size} octets, {rate:,.0f} published/s")
        print(f"read at once: {read(broker.url, 0, messages):,.0f}/s")
        rss = psutil.Process(broker.pid).memory_info().rss
        print(f"memory: {rss / MIB:.0f} MiB", flush=True)
        broker.stop(deadline_s=DEADLINE_S)
    with started_broker("--data-dir", directory, deadline_s=DEADLINE_S) as broker:
        print(f"ready in {broker.ready_s:.2f} s")
        forget_files(directory)
        begins = time.monotonic()
        read(broker.url, messages // 2, 1)
        print(f"first message from the middle: {(time.monotonic() - begins) * 1000:.1f} ms")
        forget_files(directory)
        ours, theirs = SPAWN.Pipe()
        reader = SPAWN.Process(target=_read_aside, args=(broker.url, messages, theirs), daemon=True)
        reader.start()
        print(f"call while it is read: {round_trip_us(broker.url, 0.5, CALLS_S):.0f} µs")
        print(f"read from disk, with these calls: {ours.recv():,.0f}/s")
        reader.join()
        broker.stop(deadline_s=DEADLINE_S)


def _read_aside(url: str, messages: int, control: Connection) -> None:
    control.send(read(url, 0, messages))


def read(url: str, offset: int, messages: int) -> float:
    """Read so many from an offset on, and ack them; gives messages a second."""
    with Client(url, deadline_s=DEADLINE_S) as client:
        client.qos(PREFETCH)
        begins = time.monotonic()
        names = bytes(2) + shortstr(STREAM) + shortstr("c") + b"\0"
        client.call(BASIC_CONSUME, BASIC_CONSUME_OK, names + table({"x-stream-offset": offset}))
        octets, acked = len(client.pending), 0
        head, shape = bytearray(client.pending), None
        buffer = bytearray(BUFFER_OCTETS)
        while shape is None or octets < messages * shape.octets:
            count = client.sock.recv_into(buffer)
            if not count:
                raise PerfError("the broker closed the reader's socket")
            octets += count
            shape = shape or _shape_of(head, buffer[:count])
            if shape is not None and (read_now := octets // shape.octets) >= acked + ACK_EVERY:
                client.sock.sendall(ack_frame(read_now, multiple=True))
                acked = read_now
        return messages / (time.monotonic() - begins)


def _shape_of(head: bytearray, data: bytearray) -> Shape | None:
    """Of the deliveries, which are all of one size: the offset of each is an integer of eight octets."""
    head += data
    return delivery_shape(head)


def forget_files(directory: str) -> None:
    """Have the system forget what it has in memory of what is on disk."""
    for path in Path(directory).rglob("*.seg"):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)


if __name__ == "__main__":
    sys.exit(figures.main("python -m interop.stream_figures", __doc__.split("\n")[0], "in the stream", 1024, measure))
