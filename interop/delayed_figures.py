"""What delayed messages cost: `python -m interop.delayed_figures`.

So many persistent messages are published to a delayed exchange of our executable, on a data directory of its own, and
none is due for an hour. Then SIGKILL, and a restart. Told are the rate of publishing with confirms, the resident set
of the broker before and after, the median of remote calls over direct reply-to before and while all wait, and the time
from the start of the process to `ready`.
"""

from __future__ import annotations

import struct
import sys
from random import Random

import psutil

from amqp_broker.perf.wire import (
    BASIC_PUBLISH,
    BODY,
    EXCHANGE_DECLARE,
    EXCHANGE_DECLARE_OK,
    HEADER,
    Client,
    frame,
    method_frame,
    shortstr,
    table,
)
from interop import figures
from interop.filling import publish_confirmed
from interop.own_broker import started_broker
from interop.probes import round_trip_us

EXCHANGE = "interop-delayed"
BATCH = 250
HOUR_MS = 3_600_000
DURABLE = 2
WITH_HEADERS_AND_MODE = 1 << 13 | 1 << 12
CALLS_S = 2.0
DEADLINE_S = 60.0
RECOVERY_DEADLINE_S = 600.0
MIB = 1 << 20


def measure(directory: str, messages: int, size: int, window: int) -> None:
    """Publish, look, kill, start again."""
    with started_broker("--data-dir", directory) as broker:
        print(f"call before: {round_trip_us(broker.url, 0.5, CALLS_S):.0f} µs")
        process = psutil.Process(broker.pid)
        before = process.memory_info().rss
        rate = publish(broker.url, messages, size, window)
        grown = process.memory_info().rss - before
        print(f"{messages:,} of {size} octets, {rate:,.0f} published/s")
        print(f"memory: {before / MIB:.0f} MiB + {grown / MIB:.0f} MiB, {grown / messages:.0f} octets a message")
        print(f"call while they wait: {round_trip_us(broker.url, 0.5, CALLS_S):.0f} µs", flush=True)
        broker.kill()
    with started_broker("--data-dir", directory, deadline_s=RECOVERY_DEADLINE_S) as broker:
        rss = psutil.Process(broker.pid).memory_info().rss
        print(f"after SIGKILL: ready in {broker.ready_s:.1f} s, memory {rss / MIB:.0f} MiB")
        broker.stop(deadline_s=DEADLINE_S)


def publish(url: str, messages: int, size: int, window: int) -> float:
    """Messages a second, until the last is confirmed."""
    with Client(url, deadline_s=DEADLINE_S) as client:
        names = bytes(2) + shortstr(EXCHANGE) + shortstr("x-delayed-message") + bytes([DURABLE])
        client.call(EXCHANGE_DECLARE, EXCHANGE_DECLARE_OK, names + table({"x-delayed-type": "fanout"}))
        random = Random(0)
        frames = b"".join(delayed_frames(random.randrange(HOUR_MS, 2 * HOUR_MS), bytes(size)) for _ in range(BATCH))
        return publish_confirmed(client, frames, BATCH, messages, window)


def delayed_frames(delay_ms: int, body: bytes) -> bytes:
    """One persistent message that is to wait."""
    method = method_frame(1, BASIC_PUBLISH, bytes(2) + shortstr(EXCHANGE) + shortstr("key") + b"\0")
    properties = table({"x-delay": delay_ms}) + b"\x02"
    header = struct.pack(">HHQH", BASIC_PUBLISH[0], 0, len(body), WITH_HEADERS_AND_MODE) + properties
    return method + frame(HEADER, 1, header) + frame(BODY, 1, body)


if __name__ == "__main__":
    sys.exit(figures.main("python -m interop.delayed_figures", __doc__.split("\n")[0], "that wait", 100, measure))
