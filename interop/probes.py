"""Measurements that are not a load: a round trip, many idle clients, memory, start-up. One client each, mostly.

Each gives one figure. They use the blocking client of the load generator, so what they cost is small and the same
for every broker.
"""

from __future__ import annotations

import secrets
import selectors
import statistics
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Connection

import psutil

from amqp_broker.perf.board import SPAWN
from amqp_broker.perf.consumer import delivery_shape
from amqp_broker.perf.run import PerfError
from amqp_broker.perf.wire import (
    EMPTY_TABLE,
    QUEUE_DECLARE,
    QUEUE_DECLARE_OK,
    QUEUE_DELETE,
    QUEUE_DELETE_OK,
    Client,
    publish_frames,
    shortstr,
)

DEADLINE_S = 30.0
MAX_PAIRS = 3000
"""Queues that are declared and bound in one round."""

IDLE_CONNECTIONS = 500
EMPTY_QUEUES = 2000
REPLY_TO = "amq.rabbitmq.reply-to"


def round_trip_us(url: str, warmup_s: float, seconds: float) -> float:
    """Median of remote calls over direct reply-to, 16 octets each way, one at a time."""
    queue = f"interop-rpc-{secrets.token_hex(4)}"
    ours, theirs = SPAWN.Pipe()
    server = SPAWN.Process(target=_answer_calls, args=(url, queue, theirs), daemon=True)
    server.start()
    theirs.close()
    try:
        if not ours.poll(DEADLINE_S) or ours.recv() != "ready":
            raise PerfError("the server of the remote calls did not get ready")
        with Client(url) as client:
            client.consume(REPLY_TO, "c", no_ack=True)
            client.wait_in_system(DEADLINE_S)
            call = publish_frames("", queue, bytes(16), reply_to=REPLY_TO)
            begins_at = time.perf_counter() + warmup_s
            times = []
            octets = 0
            while (sent_at := time.perf_counter()) < begins_at + seconds:
                client.sock.sendall(call)
                octets = octets or len(_first_delivery(client))
                _receive(client, octets)
                if sent_at >= begins_at:
                    times.append(time.perf_counter() - sent_at)
        return statistics.median(times) * 1e6
    finally:
        server.kill()
        server.join()


def _answer_calls(url: str, queue: str, control: Connection) -> None:
    with Client(url) as client:
        client.queue_declare(queue, exclusive=True)
        client.consume(queue, "s", no_ack=True)
        control.send("ready")
        client.wait_in_system(DEADLINE_S)
        call = _first_delivery(client)
        shape = delivery_shape(call)
        assert shape is not None
        header_at = call.index(b"\x02\x00\x01\x00")  # a content header on channel 1
        (flags,) = struct.unpack_from(">H", call, header_at + 7 + 12)
        if flags != 1 << 9:
            raise PerfError(f"properties with the flags {flags:#x} where only a reply-to was sent")
        at = header_at + 7 + 15
        reply_to = call[at : at + call[at - 1]]
        reply = publish_frames("", reply_to.decode(), call[shape.body_at : shape.body_at + 16])
        while True:
            call = _receive(client, len(call))
            if call[at : at + len(reply_to)] != reply_to:
                raise PerfError("a call with another reply-to")
            client.sock.sendall(reply)


def _first_delivery(client: Client) -> bytes:
    """The octets of the next delivery, which is left to be received; those that follow have as many."""
    while (shape := delivery_shape(client.pending)) is None:
        client.receive_more()
    return client.pending[: shape.octets]


def _receive(client: Client, octets: int) -> bytes:
    """That many octets, and no more: so little is done here that the broker is what is measured."""
    data, client.pending = client.pending, b""
    while len(data) < octets:
        received = client.sock.recv(4096)
        if not received:
            raise PerfError("the broker closed a socket")
        data += received
    if len(data) != octets:
        raise PerfError("a delivery has another size than the first one had")
    return data


def many_connections_ms(url: str, seconds: float, *, connections: int = 1000, per_s: float = 100.0) -> float:
    """99th percentile from publish to delivery, through connections with a channel, a queue and a consumer each."""
    prefix = f"interop-many-{secrets.token_hex(4)}"
    with ExitStack() as stack, selectors.DefaultSelector() as selector:
        clients = [stack.enter_context(Client(url)) for _ in range(connections)]
        for number, client in enumerate(clients):
            queue = f"{prefix}-{number:05}"
            client.queue_declare(queue, exclusive=True)
            client.consume(queue, "c", no_ack=True)
            selector.register(client.sock, selectors.EVENT_READ, client)
        # Each publishes to the queue of another, spread over all of them.
        calls = [
            publish_frames("", f"{prefix}-{number * 7 % connections:05}", struct.pack(">d", 0.0))
            for number in range(connections)
        ]
        times: list[float] = []
        published = 0
        begins_at = time.perf_counter()
        while len(times) < int(seconds * per_s):
            now = time.perf_counter()
            due_at = begins_at + published / per_s
            if published < int(seconds * per_s) and now >= due_at:
                number = published % connections
                call = calls[number]
                clients[number].sock.sendall(call[:-9] + struct.pack(">d", due_at) + call[-1:])
                published += 1
                continue
            if now > begins_at + seconds + DEADLINE_S:
                raise PerfError(f"{len(times)} messages of {published} came")
            wait_s = due_at - now if published < int(seconds * per_s) else 1.0
            for key, _ in selector.select(wait_s):
                times += _stamps_received(key.data)
        return sorted(times)[int(len(times) * 0.99)] * 1e3


def _stamps_received(client: Client) -> Iterator[float]:
    data = client.sock.recv(65536)
    if not data:
        raise PerfError("the broker closed a socket")
    now = time.perf_counter()
    client.pending += data
    while (shape := delivery_shape(client.pending)) is not None:
        (sent_at,) = struct.unpack_from(">d", client.pending, shape.body_at)
        client.pending = client.pending[shape.octets :]
        yield now - sent_at


def declared_and_bound_per_s(url: str, seconds: float) -> float:
    """Durable queues declared and bound to a durable exchange, each reply waited for."""
    prefix = f"interop-declare-{secrets.token_hex(4)}"
    with Client(url, deadline_s=DEADLINE_S) as client:
        client.exchange_declare(prefix, "direct", durable=True)
        names: list[str] = []
        begins_at = time.perf_counter()
        while (elapsed := time.perf_counter() - begins_at) < seconds and len(names) < MAX_PAIRS:
            names.append(f"{prefix}-{len(names):06}")
            client.queue_declare(names[-1], durable=True)
            client.queue_bind(names[-1], prefix, names[-1])
        elapsed = time.perf_counter() - begins_at
        _delete(client, names)
        client.exchange_delete(prefix)
        client.close()
    return len(names) / elapsed


def _declare(client: Client, names: list[str]) -> None:
    """All at once: what the declaring costs is not what is measured."""
    for name in names:
        client.send(1, QUEUE_DECLARE, bytes(2) + shortstr(name) + b"\0" + EMPTY_TABLE)
    for _ in names:
        client.wait(QUEUE_DECLARE_OK)


def _delete(client: Client, names: list[str]) -> None:
    for name in names:
        client.send(1, QUEUE_DELETE, bytes(2) + shortstr(name) + b"\0")
    for _ in names:
        client.wait(QUEUE_DELETE_OK)


def idle_mib(pid: int) -> float:
    return _settled_octets(pid) / (1 << 20)


def connection_kib(pid: int, url: str) -> float:
    """Per connection that has a channel and does nothing."""
    with _warm(url):
        before = _settled_octets(pid)
        with ExitStack() as stack:
            for _ in range(IDLE_CONNECTIONS):
                stack.enter_context(Client(url))
            return (_settled_octets(pid) - before) / IDLE_CONNECTIONS / 1024


def queue_kib(pid: int, url: str) -> float:
    """Per queue that is empty and has no consumer."""
    prefix = f"interop-empty-{secrets.token_hex(4)}"
    names = [f"{prefix}-{number:06}" for number in range(EMPTY_QUEUES)]
    with _warm(url), Client(url, deadline_s=DEADLINE_S) as client:
        before = _settled_octets(pid)
        for at in range(0, len(names), 100):
            _declare(client, names[at : at + 100])
        kib = (_settled_octets(pid) - before) / EMPTY_QUEUES / 1024
        _delete(client, names)
        client.close()
    return kib


@contextmanager
def _warm(url: str) -> Iterator[None]:
    """What the first client brings into memory is not what the next ones cost."""
    with ExitStack() as stack:
        clients = [stack.enter_context(Client(url)) for _ in range(10)]
        name = f"interop-warm-{secrets.token_hex(4)}"
        clients[0].queue_declare(name, exclusive=True)
        clients[0].queue_delete(name)
        yield


def _settled_octets(pid: int) -> int:
    """Resident set, once it has stopped growing: brokers do some of the work after their reply."""
    process = psutil.Process(pid)
    octets = process.memory_info().rss
    for _ in range(50):
        time.sleep(0.1)
        before, octets = octets, process.memory_info().rss
        if octets <= before:
            break
    return octets
