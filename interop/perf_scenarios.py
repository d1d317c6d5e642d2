"""What `interop.perf` measures, as data: adding a scenario is adding an entry to `SCENARIOS`.

`amqp_broker/perf/` puts the load on, `probes.py` measures what is not a load.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

from amqp_broker.perf.histogram import percentiles_ns
from amqp_broker.perf.run import PerfError, Run
from amqp_broker.perf.wire import Address
from amqp_broker.perf.workload import Workload
from interop import probes
from interop.perf_brokers import OWN, OWN_PLAIN, Broker

PUBLISH_ONLY = 2_000_000
"""Messages at most that are left in a queue."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    warmup_s: float
    seconds: float
    window: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Round:
    """What one round measured.

    Attributes:
        value: in the scenario's unit.
        publisher_load, consumer_load: processor time over elapsed time of the busiest publisher and consumer;
            near 1 the client is what was measured.
        others_load: processors kept busy by what is neither a load process nor a broker started by us; where
            this is not near 0, the round says little. `interop.perf` fills it in.
        more: whatever else is known.
    """

    value: float
    publisher_load: float = 0.0
    consumer_load: float = 0.0
    others_load: float = 0.0
    more: dict[str, float] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Floor:
    """What is to be reached: a ratio to RabbitMQ's figure, or a figure."""

    ratio_at_least: float = 0.0
    ratio_at_most: float = 0.0
    at_most: float = 0.0

    def __str__(self) -> str:
        if self.ratio_at_least:
            return f"≥ {self.ratio_at_least:g}×"
        return f"≤ {self.ratio_at_most:g}×" if self.ratio_at_most else f"≤ {self.at_most:g}" if self.at_most else "–"

    def is_reached(self, own: float, ratio: float | None) -> bool | None:
        """None where that can't be told."""
        if self.at_most:
            return own <= self.at_most
        if ratio is None or not (self.ratio_at_least or self.ratio_at_most):
            return None
        return ratio >= self.ratio_at_least and (not self.ratio_at_most or ratio <= self.ratio_at_most)


Measure = Callable[[Broker, Settings], Round]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scenario:
    """Something that is measured of every broker.

    Attributes:
        unit: of the figure.
        floor: for ours.
        measure: gives a round.
        own: which form of our broker takes part.
        is_fresh: each round has a broker that was started for it alone.
    """

    name: str
    unit: str = "msg/s"
    floor: Floor = Floor()
    measure: Measure
    own: str = OWN
    is_fresh: bool = False


def load(publishers: int = 1, consumers: int = 1, **workload: Any) -> Measure:
    """Messages consumed per second in a window after the warm-up; then the queues must run empty."""
    return functools.partial(_measure_load, {"publishers": publishers, "consumers": consumers, **workload})


def latency(**workload: Any) -> Measure:
    """99th percentile from when a message was due to its delivery, ms."""
    return functools.partial(_measure_load, workload, is_latency=True)


def publish_only(**workload: Any) -> Measure:
    """Messages published per second, until the broker has taken the last one, into a queue nobody consumes from."""
    return functools.partial(_measure_publishing, {"consumers": 0, "count": PUBLISH_ONLY, **workload})


def _measure_load(fields: dict[str, Any], broker: Broker, settings: Settings, *, is_latency: bool = False) -> Round:
    workload = Workload(**{"max_lead": settings.window, **fields})
    with Run(Address.from_uri(broker.url), workload) as run:
        run.begin()
        run.wait(settings.warmup_s)
        first = run.sample()
        run.wait(settings.seconds)
        last = run.sample()
        run.stop_publishing()
        run.drain()
    seconds = last.at - first.at
    latencies = [after - before for after, before in zip(last.latencies, first.latencies, strict=True)]
    p50, p99 = (value / 1e6 for value in percentiles_ns(latencies, (0.5, 0.99)))
    rate = (last.consumed - first.consumed) / seconds
    return Round(
        value=p99 if is_latency else rate,
        publisher_load=_busiest(first.publisher_busy_s, last.publisher_busy_s) / seconds,
        consumer_load=_busiest(first.consumer_busy_s, last.consumer_busy_s) / seconds,
        more={"consumed_per_s": rate, "latency_p50_ms": p50, "latency_p99_ms": p99},
    )


def _measure_publishing(fields: dict[str, Any], broker: Broker, settings: Settings) -> Round:
    workload = Workload(**fields)
    with Run(Address.from_uri(broker.url), workload) as run:
        first = run.sample()
        run.begin()
        run.wait(settings.seconds)
        last = run.sample()
        run.stop_publishing()
        published, seconds = run.board.published, (run.board.done_at - run.board.begins_at) / 1e9
    return Round(
        value=published / seconds,
        publisher_load=_busiest(first.publisher_busy_s, last.publisher_busy_s) / last.at,
        more={"published": published},
    )


def _measure_fairness(broker: Broker, settings: Settings) -> Round:
    """What others see while one publisher and one consumer take all they can get."""
    with Run(Address.from_uri(broker.url), Workload(max_lead=settings.window)) as run:
        run.begin()
        run.wait(settings.warmup_s)
        p99_ms = probes.many_connections_ms(broker.url, settings.seconds, connections=20)
        run.stop_publishing()
        run.drain()
    return Round(value=p99_ms)


def _busiest(before: list[float], after: list[float]) -> float:
    return max((late - early for late, early in zip(after, before, strict=True)), default=0.0)


def _pid(broker: Broker) -> int:
    if broker.pid is None:
        raise PerfError("only of a broker that is started here")
    return broker.pid


PERSISTENT: dict[str, Any] = {
    "body_octets": 1024,
    "persistent": True,
    "confirm_window": 100,
    "ack_every": 100,
    "prefetch_count": 1000,
}

SCENARIOS = [
    Scenario(name="16 B, automatic ack", floor=Floor(10), measure=load()),
    Scenario(name="16 B, ack each, prefetch 200", floor=Floor(5), measure=load(ack_every=1, prefetch_count=200)),
    Scenario(
        name="16 B, ack every 100, prefetch 1000",
        floor=Floor(8),
        measure=load(ack_every=100, prefetch_count=1000),
    ),
    Scenario(name="publish only, 16 B, transient", floor=Floor(5), measure=publish_only()),
    Scenario(
        name="4 publishers, 4 consumers, 4 queues, 1 KiB",
        floor=Floor(8),
        measure=load(publishers=4, consumers=4, queues=4, body_octets=1024),
    ),
    Scenario(
        name="1 KiB persistent, confirm window 100, ack every 100",
        floor=Floor(5),
        measure=load(**PERSISTENT),
    ),
    Scenario(
        name="1 KiB persistent, confirm window 1, ack each",
        floor=Floor(1),
        measure=load(body_octets=1024, persistent=True, confirm_window=1, ack_every=1, prefetch_count=100),
    ),
    Scenario(
        name="quorum queue, 1 KiB persistent, confirm window 100, ack every 100",
        measure=load(**{**PERSISTENT, "queue_arguments": {"x-queue-type": "quorum"}}),
    ),
    Scenario(name="64 KiB, automatic ack", floor=Floor(1.2), measure=load(body_octets=1 << 16)),
    Scenario(
        name="fanout to 50 queues, 1 KiB",
        unit="deliveries/s",
        floor=Floor(8),
        measure=load(body_octets=1024, exchange_type="fanout", queues=50),
    ),
    Scenario(
        name="topic exchange, 10,000 bindings, 100 keys, 16 B",
        floor=Floor(8),
        measure=load(exchange_type="topic", bindings=10_000, routing_keys=100, queues=10),
    ),
    Scenario(
        name="RPC over direct reply-to, one at a time, p50",
        unit="µs",
        floor=Floor(ratio_at_most=0.6),
        measure=lambda broker, settings: Round(
            value=probes.round_trip_us(broker.url, settings.warmup_s / 4, settings.seconds)
        ),
    ),
    Scenario(
        name="p99 latency at 5,000 msg/s, 1 KiB persistent, confirms",
        unit="ms",
        floor=Floor(ratio_at_most=1),
        measure=latency(
            rate=5000.0,
            body_octets=1024,
            persistent=True,
            confirm_window=1000,
            ack_every=1,
            prefetch_count=1000,
        ),
    ),
    Scenario(
        name="p99 of 20 quiet connections beside a busy one",
        unit="ms",
        floor=Floor(at_most=20),
        measure=_measure_fairness,
    ),
    Scenario(name="plain Python: 16 B, automatic ack", floor=Floor(1.5), measure=load(), own=OWN_PLAIN),
    Scenario(
        name="start to first accepted connection",
        unit="s",
        floor=Floor(at_most=0.5),
        measure=lambda broker, _: Round(value=broker.started_s),
        is_fresh=True,
    ),
    Scenario(
        name="plain Python: start to first accepted connection",
        unit="s",
        floor=Floor(at_most=0.5),
        measure=lambda broker, _: Round(value=broker.started_s),
        own=OWN_PLAIN,
        is_fresh=True,
    ),
    Scenario(
        name="memory, idle",
        unit="MiB",
        floor=Floor(at_most=50),
        measure=lambda broker, _: Round(value=probes.idle_mib(_pid(broker))),
        is_fresh=True,
    ),
    Scenario(
        name="memory per idle connection with a channel",
        unit="KiB",
        floor=Floor(at_most=40),
        measure=lambda broker, _: Round(value=probes.connection_kib(_pid(broker), broker.url)),
        is_fresh=True,
    ),
    Scenario(
        name="memory per empty queue",
        unit="KiB",
        floor=Floor(at_most=4),
        measure=lambda broker, _: Round(value=probes.queue_kib(_pid(broker), broker.url)),
        is_fresh=True,
    ),
    Scenario(
        name="1,000 connections, 100 msg/s in total, p99",
        unit="ms",
        floor=Floor(at_most=50),
        measure=lambda broker, settings: Round(value=probes.many_connections_ms(broker.url, settings.seconds)),
    ),
    Scenario(
        name="declare and bind, durable",
        unit="pairs/s",
        floor=Floor(2),
        measure=lambda broker, settings: Round(value=probes.declared_and_bound_per_s(broker.url, settings.seconds)),
    ),
    Scenario(name="16 B, message-id, automatic ack", measure=load(message_ids=True)),
]
