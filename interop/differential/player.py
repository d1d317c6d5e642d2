"""Plays a sequence against one broker and notes, step by step, what clients see.

After every operation all channels are asked for a sign of life behind which nothing of before can come
(`channel.flow`), and all queues for their counts. That is enough for a broker that does one thing after the
other, as ours does. For one whose queues are processes of their own, the player is told what is expected and
looks again until it is there, or until the deadline: then it is a difference.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from pika import spec

from interop.differential.observation import Observation, close_of, message_of, reply_of
from interop.differential.operations import CLOSE_CONNECTION, DROP_CONNECTION, SETTLING, Operation
from interop.differential.wire import Received, Wire, receive_any

ANSWER_DEADLINE_S: Final = 20.0
"""For an answer that must come: only decides how long a hang takes to be told."""

FIRST_PROBE: Final = 1000
"""Channels from here on ask for the counts of queues, one channel a queue: a missing one closes its channel."""

LOOK_AGAIN_S: Final = 0.002

HANG_UP_S: Final = 0.03
"""For a broker to notice that a connection is gone, where nothing tells what is to be seen then."""


class HangError(Exception):
    """A broker has not answered."""


@dataclass(frozen=True)
class Out:
    """A delivery that is out: what it is, wherever it is played, and its tag here."""

    consumer: str
    body: bytes
    tag: int


@dataclass
class Channel:
    """What the player knows of an open channel."""

    out: list[Out] = field(default_factory=list)
    settled: list[Out] = field(default_factory=list)
    """In the transaction that is open."""
    is_tx: bool = False
    unconfirmed: set[int] | None = None
    published: int = 0

    def take(self, operation: Operation, wanted: tuple[str, bytes] | None) -> Out | None:
        """Pick the delivery that a settlement is about, and note it as settled.

        Args:
            operation: the settlement.
            wanted: what was picked when the sequence was played before, None for the first time.
        """
        if wanted is None:
            if not self.out:
                return None
            picked = self.out[min(int(operation.arguments["pick"] * len(self.out)), len(self.out) - 1)]
        else:
            found = [each for each in self.out if (each.consumer, each.body) == wanted]
            if not found:
                return None
            picked = found[0]
        gone = [each for each in self.out if each.tag <= picked.tag] if is_multiple(operation) else [picked]
        self.out = [each for each in self.out if each not in gone]
        if self.is_tx:
            self.settled += gone
        return picked


def is_multiple(operation: Operation) -> bool:
    return operation.arguments.get("multiple") is True


@dataclass
class Step:
    """One operation as it was played."""

    observation: Observation
    picked: tuple[str, bytes] | None
    tag: int


class Player:
    """One broker.

    Args:
        url: where it is.
        same: compares what was seen with what was expected.
        patience_s: how long it is looked for what is expected.
    """

    def __init__(self, url: str, same: Callable[[Observation, Observation], bool], patience_s: float) -> None:
        self.url = url
        self.patience_s = patience_s
        self._same = same
        self._probes = Wire(url)
        self._reset()

    def close(self) -> None:
        self._probes.close()

    def play(
        self,
        operations: Sequence[Operation],
        *,
        expected: Sequence[Step] | None = None,
        pause_s: float = 0.0,
    ) -> list[Step]:
        """Play a sequence; ends early at the first step that is not as expected.

        Args:
            operations: what to do.
            expected: what another broker made of it.
            pause_s: to wait in each step, for TTLs to pass: that one has is not always to be seen.
        """
        self._reset()
        steps: list[Step] = []
        try:
            for number, operation in enumerate(operations):
                wanted = None if expected is None else expected[number]
                step = self._step(operation, wanted, pause_s)
                steps.append(step)
                if wanted is not None and not self._same(wanted.observation, step.observation):
                    break
        finally:
            self._clean_up(operations)
        return steps

    def _reset(self) -> None:
        self._wires: dict[int, Wire] = {}
        self._channels: dict[tuple[int, int], Channel] = {}
        self._queues: dict[str, int] = {}
        """Their probe channels."""
        self._quorum: set[str] = set()
        """Queues whose consumers RabbitMQ counts otherwise: each get that is out is one (rule 4.4)."""
        self._owners: dict[str, int] = {}
        """The connections of exclusive queues, which alone may ask for them."""
        self._probing: set[tuple[int | None, int]] = set()
        """Probe channels that are open, by connection."""
        self._opening: set[tuple[int, int]] = set()
        self._flowing: set[tuple[int | None, int]] = set()
        """Channels whose sign of life is out."""
        self._gets_no_ack = False
        self._seen = Observation()

    # One step

    def _step(self, operation: Operation, wanted: Step | None, pause_s: float) -> Step:
        self._seen = Observation()
        key = (operation.connection, operation.channel)
        wire = self._open(*key)
        picked = self._do(operation, wire, key, wanted)
        self._barrier([key] if key in self._channels else [])
        time.sleep(max(pause_s, HANG_UP_S if operation.call == DROP_CONNECTION and wanted is None else 0.0))
        self._look()
        if wanted is not None:
            deadline = time.monotonic() + self.patience_s
            while not self._same(wanted.observation, self._seen) and time.monotonic() < deadline:
                time.sleep(LOOK_AGAIN_S)
                self._look()
        return Step(self._seen, None if picked is None else (picked.consumer, picked.body), picked.tag if picked else 0)

    def _do(self, operation: Operation, wire: Wire, key: tuple[int, int], wanted: Step | None) -> Out | None:
        if operation.call == DROP_CONNECTION:
            wire.close()
            self._forget_connection(operation.connection)
            return None
        if operation.call == CLOSE_CONNECTION:
            wire.send(0, spec.Connection.Close(200, "", 0, 0))
            self._wait(lambda: operation.connection not in self._wires)
            return None
        channel = self._channels[key]
        picked = None
        if operation.call in SETTLING and "pick" in operation.arguments:
            picked = channel.take(operation, None if wanted is None else wanted.picked)
            if picked is None:
                return None
        self._note(operation, channel)
        self._gets_no_ack = operation.arguments.get("auto_ack") is True
        wire.send(
            operation.channel,
            operation.method(picked.tag if picked else 0),
            operation.content_header(),
            operation.body,
        )
        if operation.call == "close":
            self._wait(lambda: key not in self._channels)
        elif operation.call == "tx_commit":  # nothing may follow it before it is answered (rule 6.21)
            self._wait(lambda: key not in self._channels or "answers" in self._seen.part(_where(key)))
        return picked

    def _note(self, operation: Operation, channel: Channel) -> None:
        """Keep what is known of the channel true to what is about to be sent."""
        call, arguments = operation.call, operation.arguments
        if call == "queue_declare" and arguments["queue"]:
            self._queues.setdefault(arguments["queue"], FIRST_PROBE + len(self._queues))
            if arguments.get("arguments", {}).get("x-queue-type") == "quorum":
                self._quorum.add(arguments["queue"])
            if arguments.get("exclusive") and not arguments.get("passive"):
                self._owners.setdefault(arguments["queue"], operation.connection)
        elif call == "basic_publish" and channel.unconfirmed is not None:
            channel.published += 1
            channel.unconfirmed.add(channel.published)
        elif call == "confirm_delivery" and not channel.is_tx and channel.unconfirmed is None:
            channel.unconfirmed = set()
        elif call == "tx_select" and channel.unconfirmed is None:
            channel.is_tx = True
        elif call == "tx_commit":
            channel.settled = []
        elif call == "tx_rollback":
            channel.out = sorted(channel.out + channel.settled, key=lambda each: each.tag)
            channel.settled = []
        elif call == "basic_recover":
            channel.out = []

    # Connections and channels

    def _open(self, connection: int, channel: int) -> Wire:
        wire = self._wires.get(connection)
        if wire is None or not wire.is_open:
            wire = self._wires[connection] = Wire(self.url)
        if (connection, channel) not in self._channels:
            self._channels[connection, channel] = Channel()
            self._opening.add((connection, channel))
            wire.send(channel, spec.Channel.Open())
            self._wait(lambda: (connection, channel) not in self._opening)
        return wire

    def _forget_connection(self, connection: int) -> None:
        self._wires.pop(connection, None)
        for forgotten in [key for key in self._channels if key[0] == connection]:
            del self._channels[forgotten]
        self._probing = {key for key in self._probing if key[0] != connection}
        self._flowing = {key for key in self._flowing if key[0] != connection}
        self._opening = {key for key in self._opening if key[0] != connection}
        self._owners = {name: owner for name, owner in self._owners.items() if owner != connection}

    # Signs of life

    def _barrier(self, channels: Sequence[tuple[int, int]]) -> None:
        """Wait until all that was sent on these channels has been worked off there."""
        for key in channels:
            self._flowing.add(key)
            self._wires[key[0]].send(key[1], spec.Channel.Flow(True))
        self._wait(lambda: not self._flowing)

    def _look(self) -> None:
        """Take in what there is to see on all channels and in all queues."""
        for name, number in self._queues.items():
            owner = self._owners.get(name)
            wire = self._probes if owner is None else self._wires[owner]
            if (owner, number) not in self._probing:
                self._probing.add((owner, number))
                wire.send(number, spec.Channel.Open())
            self._flowing.add((owner, number))
            wire.send(number, spec.Queue.Declare(queue=name, passive=True))
        self._barrier(list(self._channels))

    def _wait(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + ANSWER_DEADLINE_S
        self._take_in()
        while not condition():
            if time.monotonic() > deadline:
                raise HangError(f"{self.url}: no answer on {sorted(map(str, self._flowing | self._opening))}")
            receive_any([self._probes, *self._wires.values()], deadline)
            self._take_in()

    # What came

    def _take_in(self) -> None:
        for connection, wire in [(None, self._probes), *self._wires.items()]:
            inbox, wire.inbox = wire.inbox, []
            for received in inbox:
                self._received(connection, wire, received)
            if connection is not None and not wire.is_open and self._wires.get(connection) is wire:
                if not any("close" in part for where, part in self._seen.parts.items() if where.startswith("conn")):
                    self._seen.part(f"connection {connection}")["lost"] = True
                self._forget_connection(connection)
        if not self._probes.is_open:
            raise HangError(f"{self.url}: the probing connection is gone")

    def _received(self, connection: int | None, wire: Wire, received: Received) -> None:
        method, number = received.method, received.channel
        if number >= FIRST_PROBE:
            self._probed(connection, wire, received)
        elif number == 0:
            assert connection is not None
            if isinstance(method, spec.Connection.Close):
                self._seen.part(f"connection {connection}")["close"] = close_of(method)
                wire.send(0, spec.Connection.CloseOk())
            wire.close()
            self._seen.part(f"connection {connection}").setdefault("close", "closed")
            self._forget_connection(connection)
        elif connection is not None:
            self._on_channel(connection, wire, received)

    def _probed(self, connection: int | None, wire: Wire, received: Received) -> None:
        method, number = received.method, received.channel
        name = next(name for name, probe in self._queues.items() if probe == number)
        if isinstance(method, spec.Channel.Close):
            wire.send(number, spec.Channel.CloseOk())
            self._probing.discard((connection, number))
            self._seen.parts[f"queue {name}"] = {"error": method.reply_code}
        elif isinstance(method, spec.Queue.DeclareOk):
            consumers = {} if name in self._quorum else {"consumers": method.consumer_count}
            self._seen.parts[f"queue {name}"] = {"ready": method.message_count, **consumers}
        else:
            return
        self._flowing.discard((connection, number))

    def _on_channel(self, connection: int, wire: Wire, received: Received) -> None:
        method, key = received.method, (connection, received.channel)
        where = _where(key)
        channel = self._channels.get(key)
        if channel is None:
            return
        if isinstance(method, spec.Channel.OpenOk):
            self._opening.discard(key)
        elif isinstance(method, spec.Channel.FlowOk):
            self._flowing.discard(key)
        elif isinstance(method, spec.Channel.Close | spec.Channel.CloseOk):
            if isinstance(method, spec.Channel.Close):
                wire.send(received.channel, spec.Channel.CloseOk())
                self._seen.part(where)["close"] = close_of(method)
            del self._channels[key]
            self._flowing.discard(key)
        elif isinstance(method, spec.Basic.Deliver):
            self._seen.add(where, f"deliveries to {method.consumer_tag}", message_of(received))
            self._seen.add_sorted(where, "delivery tags", method.delivery_tag)
            if not method.consumer_tag.endswith(NO_ACK):
                channel.out.append(Out(method.consumer_tag, received.body, method.delivery_tag))
        elif isinstance(method, spec.Basic.Return):
            self._seen.add(where, "returns", {**message_of(received), "code": method.reply_code})
        elif isinstance(method, spec.Basic.Ack | spec.Basic.Nack):
            self._confirmed(where, channel, method)
        elif isinstance(method, spec.Basic.Cancel):
            self._seen.add_sorted(where, "cancels", method.consumer_tag)
        elif isinstance(method, spec.Basic.GetOk):
            self._seen.add(where, "got", {**message_of(received), "left": method.message_count})
            self._seen.add_sorted(where, "delivery tags", method.delivery_tag)
            if not self._gets_no_ack:
                channel.out.append(Out(GOT, received.body, method.delivery_tag))
        else:
            if isinstance(method, spec.Queue.DeclareOk) and method.queue in self._quorum:
                del method.consumer_count
            self._seen.add(where, "answers", reply_of(method))

    def _confirmed(self, where: str, channel: Channel, method: Any) -> None:
        """Note the numbers that were answered; into how many answers they were gathered is the broker's business."""
        kind = "acks" if isinstance(method, spec.Basic.Ack) else "nacks"
        waiting = channel.unconfirmed or set()
        tag = method.delivery_tag
        numbers = {number for number in waiting if number <= tag} if method.multiple else {tag}
        if not numbers <= waiting:
            self._seen.add(where, "confirmed twice", tag)
        waiting -= numbers
        for number in numbers:
            self._seen.add_sorted(where, kind, number)

    # Afterwards

    def _clean_up(self, operations: Sequence[Operation]) -> None:
        if not self._probes.is_open:
            return
        self._seen = Observation()  # what is seen from here on belongs to no step
        for wire in self._wires.values():  # in order: then exclusive queues have gone with them (rule 1.38)
            wire.send(0, spec.Connection.Close(200, "", 0, 0))
        self._wait(lambda: not self._wires)
        wire = self._probes
        for owner, number in self._probing:
            if owner is None:
                wire.send(number, spec.Channel.Close(200, "", 0, 0))
        for kind, name in dict.fromkeys(filter(None, map(_undo, operations))):
            # One after the other: at once they would race for their bindings within RabbitMQ.
            wire.send(1, spec.Channel.Open())
            wire.send(1, spec.Queue.Delete(queue=name) if kind == "queue" else spec.Exchange.Delete(exchange=name))
            self._end_of_delete(wire)

    def _end_of_delete(self, wire: Wire) -> None:
        """Wait for the answer to a delete, and close its channel."""
        deadline = time.monotonic() + ANSWER_DEADLINE_S
        while True:
            for received in wire.inbox:
                if isinstance(received.method, spec.Queue.DeleteOk | spec.Exchange.DeleteOk):
                    wire.send(1, spec.Channel.Close(200, "", 0, 0))
                elif isinstance(received.method, spec.Channel.Close):
                    wire.send(received.channel, spec.Channel.CloseOk())
            is_over = any(
                received.channel == 1 and isinstance(received.method, spec.Channel.Close | spec.Channel.CloseOk)
                for received in wire.inbox
            )
            wire.inbox = []
            if is_over:
                return
            if not wire.receive(deadline):
                raise HangError(f"{self.url}: no end of the cleaning up")


def _undo(operation: Operation) -> tuple[str, str] | None:
    """What is to be deleted when an operation has been played."""
    arguments = operation.arguments
    if operation.call == "queue_declare" and not arguments.get("exclusive"):
        return "queue", arguments["queue"]
    if operation.call == "exchange_declare" and not arguments["exchange"].startswith("amq."):
        return "exchange", arguments["exchange"]
    return None


def _where(key: tuple[int, int]) -> str:
    return f"channel {key[0]}.{key[1]}"


NO_ACK: Final = ".noack"
"""The end of the tags of consumers whose deliveries are settled when they are sent."""

GOT: Final = "basic.get"
