"""What one message costs on its way through the broker, with no socket and no event loop: µs per message.

`python -m interop.profile_path` runs both forms, compiled and plain Python, in turn, and prints the medians.
A publisher's octets go into one connection in reads of 256 KiB; a consumer on another connection has its
outbox drained after each; with acks, its octets are then read as well.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import amqp_broker
from amqp_broker.auth.users import Peer
from amqp_broker.broker import Broker
from amqp_broker.config import Config
from amqp_broker.placement import Elsewhere, Parcel
from amqp_broker.session.connection import Connection
from amqp_codec import (
    PROTOCOL_HEADER,
    BasicAck,
    BasicConsume,
    BasicPublish,
    BasicQos,
    ChannelOpen,
    ConfirmSelect,
    ConnectionOpen,
    ConnectionStartOk,
    ConnectionTuneOk,
    Method,
    Properties,
    QueueDeclare,
    append_content,
    encode_content_header,
    encode_method_frame,
    encode_method_payload,
)

READ_OCTETS = 256 * 1024
FRAME_MAX = 131_072


class _Client:
    """A logged-in connection with channel 1; the edge does nothing."""

    def __init__(self, broker: Broker) -> None:
        self.connection = Connection(broker, self, Peer("127.0.0.1", 50_000))
        self.connection.receive(PROTOCOL_HEADER)
        self.send(0, ConnectionStartOk(mechanism="PLAIN", response=b"\0guest\0guest"))
        self.send(0, ConnectionTuneOk(channel_max=2047, frame_max=FRAME_MAX, heartbeat=0))
        self.send(0, ConnectionOpen(virtual_host="/"))
        self.send(1, ChannelOpen())

    def output_waiting(self) -> None: ...

    def hand_over(self, parcel: Parcel, to: Elsewhere) -> None: ...

    def reading_changed(self) -> None: ...

    def finish(self) -> None: ...

    def abort(self) -> None:
        raise AssertionError("the broker dropped the connection")

    def send(self, channel_id: int, method: Method) -> None:
        self.connection.receive(encode_method_frame(channel_id, method))

    def drain(self) -> int:
        outbox = self.connection.outbox
        octets = 0
        for chunk in outbox.take():
            octets += len(chunk)
        outbox.sent(octets)
        return octets


def _publish(body: bytes, properties: Properties) -> bytes:
    out = bytearray()
    method = encode_method_payload(BasicPublish(exchange="", routing_key="q"))
    append_content(out, 1, method, encode_content_header(properties, len(body)), body, FRAME_MAX)
    return bytes(out)


def measure(messages: int, *, octets: int, ack_every: int, confirms: bool) -> float:
    """Seconds for so many messages from a publisher's octets to a consumer's, and its acks."""
    broker = Broker(Config(), now=time.monotonic)
    publisher, consumer = _Client(broker), _Client(broker)
    if confirms:
        publisher.send(1, ConfirmSelect())
    publisher.send(1, QueueDeclare(queue="q"))
    consumer.send(1, BasicQos(prefetch_count=0))
    consumer.send(1, BasicConsume(queue="q", no_ack=not ack_every))
    consumer.drain()
    one = _publish(bytes(octets), Properties(delivery_mode=1))
    per_read = max(1, READ_OCTETS // len(one))
    read = one * per_read
    reads = max(1, messages // per_read)
    acks = [
        b"".join(
            encode_method_frame(1, BasicAck(tag, ack_every > 1))
            for tag in range(number * per_read + 1, (number + 1) * per_read + 1)
            if ack_every and (tag % ack_every == 0 or tag == (number + 1) * per_read)
        )
        for number in range(reads)
    ]
    delivered = 0
    begin = time.process_time()
    for ack in acks:
        publisher.connection.receive(read)
        publisher.drain()
        delivered += consumer.drain()
        if ack:
            consumer.connection.receive(ack)
    seconds = time.process_time() - begin
    queue = broker.vhosts["/"].queues["q"]
    assert delivered > reads * len(read)
    assert queue.message_count == queue.unacked_count == 0
    return seconds / (reads * per_read)


SCENARIOS: dict[str, Callable[[int], float]] = {
    "16 B, automatic ack": lambda n: measure(n, octets=16, ack_every=0, confirms=False),
    "16 B, ack each": lambda n: measure(n, octets=16, ack_every=1, confirms=False),
    "16 B, ack every 100": lambda n: measure(n, octets=16, ack_every=100, confirms=False),
    "16 B, confirms": lambda n: measure(n, octets=16, ack_every=0, confirms=True),
    "1 KiB, automatic ack": lambda n: measure(n, octets=1024, ack_every=0, confirms=False),
}


def _one_form() -> None:
    result = {name: scenario(30_000) * 1e6 for name, scenario in SCENARIOS.items()}
    print(json.dumps({"compiled": amqp_broker.COMPILED, "us": result}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--one", action="store_true", help="only the form of this process, as JSON")
    options = parser.parse_args()
    if options.one:
        _one_form()
        return
    results: dict[str, dict[str, list[float]]] = {"": {}, "1": {}}
    for _ in range(options.rounds):
        for form, of_form in results.items():
            output = subprocess.run(
                [sys.executable, "-m", "interop.profile_path", "--one"],
                env={**os.environ, "AMQP_PURE_PYTHON": form},
                capture_output=True,
                text=True,
                check=True,
            )
            for name, us in json.loads(output.stdout)["us"].items():
                of_form.setdefault(name, []).append(us)
    if not amqp_broker.COMPILED:
        print("nothing is compiled here: `python hatch_build.py` does that")
    print(f"{'µs per message':<24}{'plain':>8}{'compiled':>10}{'ratio':>8}")
    for name in SCENARIOS:
        plain, compiled = (statistics.median(results[form][name]) for form in ("1", ""))
        print(f"{name:<24}{plain:>8.2f}{compiled:>10.2f}{plain / compiled:>8.1f}")


if __name__ == "__main__":
    main()
