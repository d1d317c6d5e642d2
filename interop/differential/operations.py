"""What a client does, one call at a time, in the names and arguments of pika's `BlockingChannel`.

An operation is data: it can be made up, taken out of a sequence, sent as a method, and printed as Python.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from pika import spec

METHODS: Final[Mapping[str, Any]] = {
    "basic_ack": spec.Basic.Ack,
    "basic_cancel": spec.Basic.Cancel,
    "basic_consume": spec.Basic.Consume,
    "basic_get": spec.Basic.Get,
    "basic_nack": spec.Basic.Nack,
    "basic_publish": spec.Basic.Publish,
    "basic_qos": spec.Basic.Qos,
    "basic_recover": spec.Basic.Recover,
    "basic_reject": spec.Basic.Reject,
    "close": spec.Channel.Close,
    "confirm_delivery": spec.Confirm.Select,
    "exchange_bind": spec.Exchange.Bind,
    "exchange_declare": spec.Exchange.Declare,
    "exchange_delete": spec.Exchange.Delete,
    "exchange_unbind": spec.Exchange.Unbind,
    "queue_bind": spec.Queue.Bind,
    "queue_declare": spec.Queue.Declare,
    "queue_delete": spec.Queue.Delete,
    "queue_purge": spec.Queue.Purge,
    "queue_unbind": spec.Queue.Unbind,
    "tx_commit": spec.Tx.Commit,
    "tx_rollback": spec.Tx.Rollback,
    "tx_select": spec.Tx.Select,
}

SETTLING: Final = ("basic_ack", "basic_nack", "basic_reject")

CLOSE_CONNECTION: Final = "connection.close"
DROP_CONNECTION: Final = "connection.drop"

_WIRE_NAME = {"auto_ack": "no_ack", "exchange_type": "type"}
"""Where pika's arguments and its methods have different names."""


@dataclass(frozen=True)
class Operation:
    """One call.

    Attributes:
        connection: which of the sequence's connections, from 0; one that was closed is opened anew.
        channel: which of its channels, from 1; likewise.
        call: a key of `METHODS`, or one of the two ends of a connection.
        arguments: as of pika's call, without body and properties. A settlement has `pick`, from 0 to 1, for
            which of the deliveries that are out; or `delivery_tag`, for one that is wrong.
        properties: of a publish.
        body: of a publish.
    """

    connection: int
    channel: int
    call: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    properties: Mapping[str, Any] | None = None
    body: bytes = b""

    def method(self, delivery_tag: int = 0) -> Any:
        """Make the method that pika would send; `delivery_tag` is the one that was picked."""
        arguments = {_WIRE_NAME.get(name, name): value for name, value in self.arguments.items()}
        if arguments.pop("pick", None) is not None:
            arguments["delivery_tag"] = delivery_tag
        if self.call == "close":
            arguments = {"reply_code": 200, "reply_text": "", "class_id": 0, "method_id": 0}
        return METHODS[self.call](**arguments)

    def content_header(self) -> Any:
        """The properties of a publish, None for all else."""
        return None if self.properties is None else spec.BasicProperties(**self.properties)

    def spelled(self, delivery_tag: int) -> str:
        """Write the call down as Python, with the tag that was picked when it ran."""
        if self.call in (CLOSE_CONNECTION, DROP_CONNECTION):
            return f"connections[{self.connection}].close()"
        arguments = dict(self.arguments)
        if arguments.pop("pick", None) is not None:
            arguments = {"delivery_tag": delivery_tag, **arguments}
        parts = [f"{name}={value!r}" for name, value in arguments.items()]
        if self.call == "basic_consume":
            parts.insert(1, "on_message_callback=on_message")
        if self.properties is not None:
            shown = ", ".join(f"{name}={value!r}" for name, value in self.properties.items())
            parts += [f"body={self.body!r}", f"properties=pika.BasicProperties({shown})"]
        return f"channel({self.connection}, {self.channel}).{self.call}({', '.join(parts)})"


_HEAD = '''\
import sys

import pika

connections, channels = {}, {}


def channel(connection, number):
    """The channel of these numbers, opened (anew) when it is needed."""
    if connection not in connections or connections[connection].is_closed:
        connections[connection] = pika.BlockingConnection(pika.URLParameters(sys.argv[1]))
    key = (connection, number)
    if key not in channels or channels[key].is_closed or channels[key].connection is not connections[connection]:
        channels[key] = connections[connection].channel()
    return channels[key]


def on_message(_channel, method, properties, body):
    print("   delivery", method, properties, body)


def run(step, call):
    try:
        print(step, call())
    except pika.exceptions.AMQPError as error:
        print(step, repr(error))
    for connection in connections.values():
        if connection.is_open:
            connection.process_data_events(time_limit=0.1)


'''


def as_script(operations: Sequence[Operation], tags: Iterable[int]) -> str:
    """Write a sequence down as a program for pika, whose only argument is the URL of a broker."""
    lines = [
        f"run({step}, lambda: {operation.spelled(tag)})"
        for step, (operation, tag) in enumerate(zip(operations, tags, strict=True))
    ]
    return _HEAD + "\n".join(lines) + "\n"
