"""A broker on a loopback socket under attack, and a well-behaved client that must never notice."""

from __future__ import annotations

import logging
import re
import socket
import struct
from collections import Counter
from dataclasses import dataclass, field

import trio

from amqp_broker.config import Config
from amqp_broker.server import Server
from amqp_codec import (
    BasicAck,
    BasicConsume,
    BasicConsumeOk,
    ConfirmSelect,
    ConfirmSelectOk,
    QueueDeclare,
    QueueDeclareOk,
)
from tests.fuzz.attacks import Attack, Ending, attack
from tests.support.wire import WireClient, publish_frames, until

CONFIG = Config(
    port=0,
    handshake_timeout_s=0.5,
    login_failure_delay_s=0.1,
    close_timeout_s=0.5,
    max_message_octets=1 << 20,
    max_partial_octets=2 << 20,
    outbox_high_octets=64 << 10,
    outbox_limit_octets=512 << 10,
)
AT_ONCE = 40
PATIENCE_S = 20.0
"""A round trip of the well-behaved client takes less, on however busy a machine the tests run."""
END_S = 20.0
"""How long the broker may take to end a connection that it has to refuse: 3 s, and time to get there."""
PEER = re.compile(r"connection (127\.0\.0\.1:\d+)")
CHANNEL = re.compile(r", channel \d+: ")


@dataclass
class Report:
    """What came of a siege.

    Attributes:
        faults: what should not have happened; empty if all is well.
        kinds: how often each kind of attack was made.
        round_trips: messages that the well-behaved client published and got back.
        longest_s: the longest any of them took.
        visits: how many connections each port of ours was used for.
    """

    faults: list[str] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    round_trips: int = 0
    longest_s: float = 0.0
    visits: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        made = sum(self.kinds.values())
        return (
            f"{made} attacks of {len(self.kinds)} kinds, {len(self.faults)} faults; "
            f"{self.round_trips} round trips meanwhile, the longest {self.longest_s * 1000:.0f} ms"
        )


class _Log(logging.Handler):
    """Keeps what the broker logs from warnings on."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record)


async def besiege(seeds: range) -> Report:
    """Make the attacks of these numbers, many at a time."""
    report = Report()
    log = _Log()
    logger = logging.getLogger("amqp_broker")
    logger.addHandler(log)
    server = Server(CONFIG)
    try:
        async with trio.open_nursery() as nursery:
            await nursery.start(server.run)
            port = int(server.urls[0].rpartition(":")[2])
            steady = WireClient(await trio.open_tcp_stream("127.0.0.1", port))
            await _prepare(steady)
            async with trio.open_nursery() as meanwhile:
                meanwhile.start_soon(_work, steady, report)
                await _attack_all(port, seeds, report)
                meanwhile.cancel_scope.cancel()
            await _check_what_is_left(server, report)
            await steady.stream.aclose()
            server.stop()
    finally:
        logger.removeHandler(log)
    _check_log(log.lines, report)
    return report


async def _prepare(steady: WireClient) -> None:
    await steady.open()
    await steady.call(1, QueueDeclare(queue="steady", exclusive=True), QueueDeclareOk)
    await steady.call(1, BasicConsume(queue="steady", consumer_tag="c"), BasicConsumeOk)
    await steady.call(1, ConfirmSelect(), ConfirmSelectOk)


async def _work(steady: WireClient, report: Report) -> None:
    """Publish, take the confirm and the delivery, ack; always one after the other."""
    while True:
        started = trio.current_time()
        body = report.round_trips.to_bytes(8) + bytes(report.round_trips % 3000)
        with trio.CancelScope(shield=True), trio.fail_after(PATIENCE_S):
            await steady.send_octets(publish_frames("steady", body))
            bodies = []
            tags = []
            for _ in range(2):
                command = await steady.receive()
                assert command is not None, "the well-behaved client was thrown out"
                if command.body is None:
                    assert isinstance(command.method, BasicAck), command.method
                else:
                    bodies.append(command.body)
                    tags.append(int(getattr(command.method, "delivery_tag", 0)))
            assert bodies == [body]
            await steady.send(1, BasicAck(delivery_tag=tags[0]))
        report.round_trips += 1
        report.longest_s = max(report.longest_s, trio.current_time() - started)
        await trio.sleep(0.001)


async def _attack_all(port: int, seeds: range, report: Report) -> None:
    places = trio.CapacityLimiter(AT_ONCE)

    async def one(seed: int) -> None:
        async with places:
            name, made = attack(seed)
            report.kinds[name] += 1
            fault = await _visit(port, made, report.visits)
            if fault:
                report.faults.append(f"seed {seed}, {name}: {fault}")

    async with trio.open_nursery() as attackers:
        for seed in seeds:
            attackers.start_soon(one, seed)


async def _visit(port: int, made: Attack, visits: Counter[str]) -> str:
    """Make one attack; tells what the broker failed to do."""
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    visits["{}:{}".format(*stream.socket.getsockname())] += 1
    async with stream:
        with trio.move_on_after(END_S) as patience:
            try:
                async with trio.open_nursery() as nursery:
                    if made.reads and made.ending is not Ending.WAIT:
                        nursery.start_soon(_swallow, stream)
                    with trio.move_on_after(1):
                        for piece in made.pieces:
                            await stream.send_all(piece)
                    if made.ending is Ending.WAIT:
                        await _swallow(stream)
                    elif made.ending is Ending.READ_THEN_CLOSE:
                        await trio.sleep(0.05)
                    nursery.cancel_scope.cancel()
            except* (trio.BrokenResourceError, trio.ClosedResourceError):
                pass
        if made.ending is Ending.RESET:
            stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    if patience.cancelled_caught:
        return f"not ended within {END_S} s" if made.ending is Ending.WAIT else "stuck"
    return ""


async def _swallow(stream: trio.SocketStream) -> None:
    try:
        while await stream.receive_some(1 << 16):
            pass
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        pass


async def _check_what_is_left(server: Server, report: Report) -> None:
    """Only the well-behaved client, and of the others nothing but queues they had the right to leave."""
    broker = server.broker
    with trio.move_on_after(END_S):
        await until(lambda: len(broker.clients) <= 1)
    if len(broker.clients) != 1:
        report.faults.append(f"{len(broker.clients) - 1} connections are still there")
    for queue in broker.vhosts["/"].queues.values():
        if queue.name == "steady":
            continue
        if len(queue.consumers) or queue.unacked_count or queue.exclusive_owner is not None:
            report.faults.append(f"queue {queue.name!r} still has a consumer, an owner or unacked messages")


def _check_log(lines: list[logging.LogRecord], report: Report) -> None:
    """No traceback, and no more than a line for a connection beside those for its channels."""
    count: Counter[str] = Counter()
    for record in lines:
        text = record.getMessage()
        if record.exc_info:
            report.faults.append(f"a traceback: {text}: {record.exc_info[1]!r}")
        if not text.isprintable():
            report.faults.append(f"unprintable: {text!r}")
        peer = PEER.match(text)
        if peer is None:
            report.faults.append(f"a line about no connection: {text}")
        elif not CHANNEL.search(text):
            count[peer[1]] += 1
            if count[peer[1]] > report.visits[peer[1]]:
                report.faults.append(f"more than one line for a connection: {text}")
