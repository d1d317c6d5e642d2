"""The client's end of a connection, joined to the broker's end, and to brokers that misbehave."""

from __future__ import annotations

import pytest

from amqp_broker.links.machine import LinkError, Machine
from amqp_codec import (
    PROTOCOL_HEADER,
    BasicCancel,
    ChannelFlow,
    ChannelFlowOk,
    ChannelOpen,
    ChannelOpenOk,
    ConnectionBlocked,
    ConnectionClose,
    ConnectionStart,
    ConnectionTune,
    ConnectionUnblocked,
    Method,
    encode_method_frame,
)
from tests.support.client import Client, World


class Pair:
    """A machine and a broker, without anything between."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.peer = Client(World())
        self._seen = 0

    def exchange(self) -> list[Method]:
        """Let all that was said be heard; gives what came on channels."""
        methods = []
        while self.machine.output:
            octets, self.machine.output = self.machine.output, bytearray()
            self.peer.send_octets(bytes(octets))
            heard, self._seen = bytes(self.peer.raw[self._seen :]), len(self.peer.raw)
            for at in range(len(heard)):
                methods += [command.method for command in self.machine.receive(heard[at : at + 1])]
        return methods


def started() -> Machine:
    """A machine that waits for the broker's first words."""
    machine = Machine("guest", "guest", "/")
    assert machine.output == PROTOCOL_HEADER
    machine.output = bytearray()
    return machine


def say(machine: Machine, *methods: Method, channel_id: int = 0) -> None:
    for method in methods:
        machine.receive(encode_method_frame(channel_id, method))


def test_it_logs_in_opens_a_channel_and_closes_in_order() -> None:
    pair = Pair(Machine("guest", "guest", "/", name="mine", heartbeat_s=7))
    assert pair.exchange() == []
    assert pair.machine.is_open
    assert (pair.machine.heartbeat_s, pair.machine.frame_max) == (7, 131072)
    assert pair.peer.connection.client_properties["connection_name"] == b"mine"
    pair.machine.send(1, ChannelOpen())
    assert pair.exchange() == [ChannelOpenOk()]
    pair.machine.close()
    pair.exchange()
    assert pair.machine.is_ended


@pytest.mark.parametrize(
    ("user", "vhost", "code", "text"),
    [
        ("nobody", "/", 403, "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN"),
        ("guest", "nowhere", 530, "NOT_ALLOWED - vhost nowhere not found"),
    ],
)
def test_what_is_refused_will_be_refused_again(user: str, vhost: str, code: int, text: str) -> None:
    with pytest.raises(LinkError) as caught:
        Pair(Machine(user, "guest", vhost)).exchange()
    assert (caught.value.code, caught.value.is_lasting) == (code, True)
    assert str(caught.value).startswith(text)


def test_a_broker_that_shuts_down_may_come_back() -> None:
    pair = Pair(Machine("guest", "guest", "/"))
    pair.exchange()
    with pytest.raises(LinkError, match="CONNECTION_FORCED") as caught:
        say(pair.machine, ConnectionClose(reply_code=320, reply_text="CONNECTION_FORCED - bye"))
    assert not caught.value.is_lasting


def test_a_broker_of_another_version_is_told_from_one_that_is_broken() -> None:
    with pytest.raises(LinkError, match="another version"):
        started().receive(b"AMQP\0\1\0\0")
    with pytest.raises(LinkError, match="no AMQP 0-9-1"):
        started().receive(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def test_no_login_without_a_password() -> None:
    with pytest.raises(LinkError, match="PLAIN") as caught:
        say(started(), ConnectionStart(mechanisms=b"EXTERNAL GSSAPI"))
    assert caught.value.is_lasting


def test_methods_out_of_turn_end_it() -> None:
    with pytest.raises(LinkError, match="out of turn"):
        say(started(), ConnectionTune())


def _unblocked(machine: Machine) -> Machine:
    say(machine, ConnectionUnblocked())
    return machine


def test_flow_and_blocking_are_answered_and_remembered() -> None:
    pair = Pair(Machine("guest", "guest", "/"))
    pair.exchange()
    say(pair.machine, ConnectionBlocked(reason="memory"))
    assert pair.machine.is_blocked
    assert not _unblocked(pair.machine).is_blocked
    say(pair.machine, ChannelFlow(active=False), channel_id=1)
    assert pair.machine.output == encode_method_frame(1, ChannelFlowOk(active=False))
    with pytest.raises(LinkError, match="deleted"):
        say(pair.machine, BasicCancel(consumer_tag="c"), channel_id=1)
