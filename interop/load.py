"""How load is put on a broker: publishers and consumers that cost little, and one round of them.

Raw sockets, one prepared buffer of frames sent again and again, deliveries counted by octets: with one size
of body, exchange and routing key every delivery has the same size, as the delivery tag always takes 8 octets.
Each publisher and consumer is a process of its own, and the processor time it took is part of the result.

What is counted is *consumed* messages in a window after a warm-up: swallowing messages scores nothing. The
publishers run ahead of the consumers by at most `Plan.window` messages, so queues stay short and memory
bounded. That never slows a broker down as long as the window is large against what passes through the broker
while a credit travels back: the consumer is faster than any broker, so what is published and not consumed
lies in the broker or in its receive buffer, and it always has work.

At the end publishing stops, the queues run empty, and the octets received must be exactly those of the
messages published, the last delivery tag their number: a run that lost or repeated a message is an error, no
result.
"""

from __future__ import annotations

import contextlib
import dataclasses
import multiprocessing
import select
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any

from interop.machine import current_load
from interop.wire import (
    ACK_OCTETS,
    BASIC_DELIVER,
    BODY,
    FRAME_HEADER_OCTETS,
    FRAME_OVERHEAD_OCTETS,
    HEADER,
    METHOD,
    Client,
    ack_frame,
    parse_acks,
    publish_frames,
)

BATCH_OCTETS = 1 << 17
MAX_BATCH = 1000
"""A batch is what is sent with one call: large enough to cost little, small against the window."""

MAX_MESSAGES = 50_000_000
"""Per publisher and round; with the time limit the second bound of a run."""

RECEIVE_OCTETS = 1 << 20
DEADLINE_S = 60.0
EXCHANGE = "interop-perf"
SPAWN = multiprocessing.get_context("spawn")


class PerfError(Exception):
    """A round that gives no result; the text says why."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scenario:
    """What is sent and how it is acknowledged.

    Attributes:
        body_octets: size of every message.
        persistent: durable queues and delivery mode 2.
        message_ids: a message-id in each, different from its neighbours': without it all messages are the same
            octets, which flatters a broker that remembers the last header it has parsed.
        publishers: processes that publish. With the default exchange, one for each queue.
        queues: queues, each with a consumer process of its own.
        exchange_type: empty for the default exchange; otherwise every queue is bound by `binding_key` to one
            exchange of this type, and each message must reach every queue.
        ack_every: acknowledge with `multiple` after so many deliveries; 0 is automatic acknowledgement.
        prefetch_count: as in basic.qos; 0 is no limit.
        confirm_window: publisher confirms with at most so many messages unconfirmed; 0 is no confirms.
    """

    name: str
    body_octets: int = 16
    persistent: bool = False
    message_ids: bool = False
    publishers: int = 1
    queues: int = 1
    exchange_type: str = ""
    binding_key: str = "perf.key"
    routing_key: str = "perf.key"
    ack_every: int = 0
    prefetch_count: int = 0
    confirm_window: int = 0

    def __post_init__(self) -> None:
        if not self.exchange_type and self.publishers != self.queues:
            raise ValueError(f"{self.name}: on the default exchange every queue has one publisher")
        if 0 < self.prefetch_count < self.ack_every:
            raise ValueError(f"{self.name}: nothing is acknowledged before the prefetch count is used up")

    def address(self, publisher: int) -> tuple[str, str]:
        """Exchange and routing key of one publisher."""
        return (EXCHANGE, self.routing_key) if self.exchange_type else ("", queue_name(publisher))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """One round of one scenario, as its processes need to know it."""

    url: str
    scenario: Scenario
    window: int
    warmup_s: float
    seconds: float

    @property
    def batch(self) -> int:
        """Messages sent at once: at most a quarter of any window, which is so never a single batch."""
        by_size = max(1, BATCH_OCTETS // (self.scenario.body_octets + 64))
        limits = [MAX_BATCH, by_size, max(1, self.window // 4)]
        if self.scenario.confirm_window:
            limits.append(max(1, self.scenario.confirm_window // 4))
        return min(limits)

    @property
    def credit(self) -> int:
        """Messages one credit stands for: so many that a pipe holds the credits of a window unread."""
        return max(self.batch, self.window // 50)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Round:
    """What one round measured.

    Attributes:
        rate: messages consumed per second, all consumers together.
        published: messages published, warm-up included.
        publisher_load, consumer_load: processor time over elapsed time of the busiest publisher and consumer;
            near 1 the client is what was measured.
        others_load: processors kept busy by what is neither a load process nor a broker started by us; where
            this is not near 0, the round says little.
    """

    rate: float
    published: int
    publisher_load: float
    consumer_load: float
    others_load: float


ProcessTarget = Callable[[Plan, int, Sequence[Connection], Connection], None]


def queue_name(number: int) -> str:
    return f"interop-perf-{number}"


class ConfirmCount:
    """Counts what a broker has confirmed, in whatever order."""

    def __init__(self) -> None:
        self._unparsed = b""
        self._up_to = 0
        self._singly: set[int] = set()

    @property
    def count(self) -> int:
        return self._up_to + len(self._singly)

    def receive(self, data: bytes) -> None:
        """Take octets of a channel on which nothing but confirms comes.

        Raises:
            WireError: something else came, a nack for instance.
        """
        data = self._unparsed + data
        whole = len(data) // ACK_OCTETS * ACK_OCTETS
        self._unparsed = data[whole:]
        for tag, multiple in parse_acks(data[:whole]):
            if not multiple:
                self._singly.add(tag)
            elif tag > self._up_to:
                self._up_to = tag
                self._singly = {n for n in self._singly if n > tag}
        while self._up_to + 1 in self._singly:
            self._up_to += 1
            self._singly.remove(self._up_to)


class Publisher:
    """Sends one prepared batch over and over, as far ahead as credits and confirms allow."""

    def __init__(self, plan: Plan, number: int, credits_in: Sequence[Connection]) -> None:
        self._batch = plan.batch
        self._confirm_window = plan.scenario.confirm_window
        self._credits_in = credits_in
        self._credit = plan.credit
        self._allowed = [plan.window for _ in credits_in]
        self._client = Client(plan.url, deadline_s=DEADLINE_S)
        exchange, routing_key = plan.scenario.address(number)
        self._frames = b"".join(
            publish_frames(
                exchange,
                routing_key,
                bytes(plan.scenario.body_octets),
                persistent=plan.scenario.persistent,
                message_id=f"{n:08}" if plan.scenario.message_ids else "",
                frame_max=self._client.frame_max,
            )
            for n in range(plan.batch)
        )
        self._confirmed = ConfirmCount()
        if self._confirm_window:
            self._client.confirm_select()
        self._client.leave_deadline_to_kernel(DEADLINE_S)

    def run(self, ends_at: float) -> int:
        """Publish until this time of `time.monotonic` and return how many messages that were."""
        published = 0
        while time.monotonic() < ends_at and published + self._batch <= MAX_MESSAGES:
            if not self._wait_allowed(ends_at):
                break
            self._client.sock.sendall(self._frames)
            published += self._batch
            if self._confirm_window:
                self._wait_confirmed(published + self._batch - self._confirm_window)
        if self._confirm_window:
            self._wait_confirmed(published)
        self._client.close()
        return published

    def _wait_allowed(self, ends_at: float) -> bool:
        """Return when every consumer allows one more batch; False when the time is up first."""
        for number, credits_in in enumerate(self._credits_in):
            while self._allowed[number] < self._batch:
                if not credits_in.poll(max(0.0, ends_at - time.monotonic())):
                    return False
                self._allowed[number] += len(credits_in.recv_bytes()) * self._credit
        self._allowed = [allowed - self._batch for allowed in self._allowed]
        return True

    def _wait_confirmed(self, count: int) -> None:
        """Return once so many messages are confirmed, in whatever order they were."""
        while self._confirmed.count < count:
            data = self._client.sock.recv(65536)
            if not data:
                raise PerfError("the broker closed the publisher's socket")
            self._confirmed.receive(data)


class Consumer:
    """Counts deliveries by octets, acknowledges them, and gives the publishers credit."""

    def __init__(self, plan: Plan, number: int, credits_out: Sequence[Connection]) -> None:
        scenario = plan.scenario
        self._ack_every = scenario.ack_every
        self._credit = plan.credit
        self._credits_out = credits_out
        self._credited = 0
        self._acked = 0
        self._octets = 0
        self._delivery_octets = 0
        self._tail = b""
        self._buffer = memoryview(bytearray(RECEIVE_OCTETS))
        self._client = Client(plan.url, deadline_s=DEADLINE_S)
        self._queue = queue_name(number)
        self._durable = scenario.persistent
        self._client.queue_delete(self._queue)  # a durable one may be left by a run that was cut off
        self._client.queue_declare(self._queue, durable=self._durable, exclusive=not self._durable)
        if scenario.exchange_type:
            self._client.exchange_declare(EXCHANGE, scenario.exchange_type)
            self._client.queue_bind(self._queue, EXCHANGE, scenario.binding_key)
        if scenario.prefetch_count:
            self._client.qos(scenario.prefetch_count)
        self._client.consume(self._queue, f"c{number}", no_ack=not self._ack_every)
        if self._client.pending:
            raise PerfError("deliveries before anything was published")
        self._client.leave_deadline_to_kernel(DEADLINE_S)

    @property
    def count(self) -> int:
        return self._octets // self._delivery_octets if self._delivery_octets else 0

    def run(self, until: float) -> tuple[float, int]:
        """Consume until this time of `time.monotonic`; the exact time, and the messages up to then."""
        while True:
            self._receive()
            now = time.monotonic()
            if now >= until:
                return now, self.count

    def drain(self, control: Connection) -> None:
        """Consume until everything is there that was published, whose number comes by this connection.

        Raises:
            PerfError: more octets than that, or a last delivery that is not the one it should be.
            TimeoutError: less, within the deadline.
        """
        published: int | None = None
        while published is None or self._octets < published * self._delivery_octets:
            sources: list[Any] = [self._client.sock, control]
            readable = select.select(sources, [], [], DEADLINE_S)[0]
            if not readable:
                raise TimeoutError(f"{self.count} messages of {published} came")
            if control in readable:
                published = control.recv()
            if self._client.sock in readable:
                self._receive()
        if self._octets != published * self._delivery_octets:
            raise PerfError(f"{self._octets} octets where {published} x {self._delivery_octets} were due")
        tag = delivery_tag(self._tail)
        if tag != published:
            raise PerfError(f"the last delivery tag is {tag} after {published} messages")

    def close(self) -> None:
        if self._durable:
            self._client.queue_delete(self._queue)
        self._client.close()

    def _receive(self) -> None:
        octets = self._client.sock.recv_into(self._buffer)
        if not octets:
            raise PerfError("the broker closed the consumer's socket")
        self._octets += octets
        if not self._delivery_octets:
            self._tail += self._buffer[:octets]
            self._delivery_octets = first_delivery_octets(self._tail)
            self._tail = self._tail[-self._delivery_octets :]
        elif octets < self._delivery_octets:
            self._tail = (self._tail + self._buffer[:octets])[-self._delivery_octets :]
        else:
            self._tail = bytes(self._buffer[octets - self._delivery_octets : octets])
        count = self.count
        if self._ack_every:
            self._acknowledge(count)
        while (self._credited + 1) * self._credit <= count:
            # In turn, so that all publishers together are given what was consumed.
            self._credits_out[self._credited % len(self._credits_out)].send_bytes(b"x")
            self._credited += 1

    def _acknowledge(self, count: int) -> None:
        tags = range(self._acked + self._ack_every, count + 1, self._ack_every)
        if tags:
            self._client.sock.sendall(b"".join(ack_frame(tag, multiple=True) for tag in tags))
            self._acked = tags[-1]


def first_delivery_octets(data: bytes) -> int:
    """The size of the delivery (method, header, body frames) that starts these octets; 0 if cut short."""
    at = 0
    body_octets: int | None = None
    while body_octets is None or body_octets > 0:
        if len(data) < at + FRAME_HEADER_OCTETS:
            return 0
        kind, _, octets = struct.unpack_from(">BHI", data, at)
        if len(data) < at + octets + FRAME_OVERHEAD_OCTETS:
            return 0
        payload = at + FRAME_HEADER_OCTETS
        if kind == HEADER:
            (body_octets,) = struct.unpack_from(">Q", data, payload + 4)
        elif kind == BODY and body_octets is not None:
            body_octets -= octets
        elif kind != METHOD or struct.unpack_from(">HH", data, payload) != BASIC_DELIVER:
            raise PerfError(f"not a delivery: {data[at : payload + octets]!r}")
        at += octets + FRAME_OVERHEAD_OCTETS
    return at


def delivery_tag(delivery: bytes) -> int:
    """Of the octets of one delivery, which begin with its method frame."""
    tag_at = FRAME_HEADER_OCTETS + 4 + 1 + delivery[FRAME_HEADER_OCTETS + 4]
    (tag,) = struct.unpack_from(">Q", delivery, tag_at)
    assert isinstance(tag, int)
    return tag


def publish_process(plan: Plan, number: int, credits_in: Sequence[Connection], control: Connection) -> None:
    """Tells the parent: "ready", then how many were published, and the share of a processor that took."""
    with reported(control):
        publisher = Publisher(plan, number, credits_in)
        control.send("ready")
        begins_at = control.recv()
        busy = time.process_time()
        # A little longer than the measurement, whose last reading waits for one more delivery.
        published = publisher.run(begins_at + plan.warmup_s + plan.seconds + 0.25)
        load = (time.process_time() - busy) / (time.monotonic() - begins_at)
        control.send((published, load))


def consume_process(plan: Plan, number: int, credits_out: Sequence[Connection], control: Connection) -> None:
    """Tells the parent: "ready", then rate and share of a processor in the window, once all has arrived."""
    with reported(control):
        consumer = Consumer(plan, number, credits_out)
        control.send("ready")
        begins_at = control.recv()
        first_at, first = consumer.run(begins_at + plan.warmup_s)
        busy = time.process_time()
        last_at, last = consumer.run(begins_at + plan.warmup_s + plan.seconds)
        busy = time.process_time() - busy
        consumer.drain(control)
        consumer.close()
        control.send(((last - first) / (last_at - first_at), busy / (last_at - first_at)))


@contextlib.contextmanager
def reported(control: Connection) -> Iterator[None]:
    """What goes wrong in a child becomes its answer."""
    try:
        yield
    except Exception as error:
        with contextlib.suppress(BrokenPipeError):  # the parent has given up already
            control.send(PerfError(f"{type(error).__name__}: {error}"))


class Children:
    """The processes of one round and the line to each of them; whatever happens, none stays behind."""

    def __init__(self) -> None:
        self._processes: list[SpawnProcess] = []
        self._controls: list[Connection] = []

    def start(self, target: ProcessTarget, plan: Plan, number: int, credit_ends: Sequence[Connection]) -> Connection:
        ours, theirs = SPAWN.Pipe()
        process = SPAWN.Process(target=target, args=(plan, number, credit_ends, theirs))
        process.start()
        theirs.close()  # so that the child's end is an end of file
        self._processes.append(process)
        self._controls.append(ours)
        return ours

    def answer(self, control: Connection, deadline_s: float) -> Any:
        if not control.poll(deadline_s):
            raise PerfError(f"no answer from a load process within {deadline_s:g} s")
        try:
            answer = control.recv()
        except EOFError:
            raise PerfError("a load process ended without an answer") from None
        if isinstance(answer, PerfError):
            raise answer
        return answer

    def __enter__(self) -> Children:
        return self

    def __exit__(self, *_: object) -> None:
        for control in self._controls:
            control.close()
        for process in self._processes:
            process.join(1)
            process.kill()
            process.join()


def run_round(plan: Plan) -> Round:
    scenario = plan.scenario
    # credit_pipes[publisher][consumer]: on the default exchange each publisher has a consumer of its own.
    pairs = [
        (publisher, queue)
        for publisher in range(scenario.publishers)
        for queue in range(scenario.queues)
        if scenario.exchange_type or publisher == queue
    ]
    pipes = {pair: SPAWN.Pipe(duplex=False) for pair in pairs}
    before = current_load()
    with Children() as children, contextlib.ExitStack() as stack:
        for credit_in, credit_out in pipes.values():
            stack.callback(credit_in.close)
            stack.callback(credit_out.close)
        consumers = [
            children.start(consume_process, plan, n, [pipes[pair][1] for pair in pairs if pair[1] == n])
            for n in range(scenario.queues)
        ]
        for control in consumers:
            children.answer(control, DEADLINE_S)
        publishers = [
            children.start(publish_process, plan, n, [pipes[pair][0] for pair in pairs if pair[0] == n])
            for n in range(scenario.publishers)
        ]
        for control in publishers:
            children.answer(control, DEADLINE_S)
        begins_at = time.monotonic()
        for control in [*consumers, *publishers]:
            control.send(begins_at)
        deadline_s = plan.warmup_s + plan.seconds + DEADLINE_S
        published = [children.answer(control, deadline_s) for control in publishers]
        for n, control in enumerate(consumers):
            control.send(sum(published[publisher][0] for publisher, queue in pairs if queue == n))
        consumed = [children.answer(control, DEADLINE_S) for control in consumers]
    if scenario.exchange_type:
        with Client(plan.url) as client:
            client.exchange_delete(EXCHANGE)
    return Round(
        rate=sum(rate for rate, _ in consumed),
        published=sum(count for count, _ in published),
        publisher_load=max(load for _, load in published),
        consumer_load=max(load for _, load in consumed),
        others_load=current_load().others_since(before),
    )
