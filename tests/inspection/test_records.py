"""Records of the broker's objects, as the command line and the HTTP API show them."""

from __future__ import annotations

import pytest

from amqp_broker.inspection.connections import channel_record, connection_record
from amqp_broker.inspection.exchanges import (
    binding_record,
    bindings_of,
    bindings_to,
    default_binding_record,
    exchange_record,
    properties_key,
)
from amqp_broker.inspection.queues import consumer_record, queue_record
from amqp_broker.inspection.values import json_of_table
from amqp_codec import Decimal, Timestamp
from tests.support.client import ChannelClient, World
from tests.support.topology import bind

NODE = "rabbit@localhost"


@pytest.fixture
def channel() -> ChannelClient:
    return World().channel()


def test_a_queue_says_what_is_in_it(channel: ChannelClient) -> None:
    name = channel.queue("q", arguments={"x-max-length": 5})
    channel.publish_all(name, b"12", b"345")
    channel.get(name, no_ack=False)
    vhost = channel.world.broker.vhosts["/"]
    record = queue_record(vhost.queues[name], vhost, NODE)
    assert record["arguments"] == {"x-max-length": 5, "x-queue-type": "classic"}
    assert (record["messages"], record["messages_ready"], record["messages_unacknowledged"]) == (2, 1, 1)
    assert (record["message_bytes_ready"], record["message_bytes_unacknowledged"]) == (3, 2)


def test_a_consumer_and_its_channel(channel: ChannelClient) -> None:
    name = channel.queue("q")
    channel.consume(name, "tag")
    session = channel.client.connection.channels[1]
    record = consumer_record(session.consumers["tag"], session, NODE)
    assert record["queue"] == {"name": name, "vhost": "/"}
    assert (record["ack_required"], record["active"], record["activity_status"]) == (True, True, "up")
    assert channel_record(session, NODE)["consumer_count"] == 1


def test_who_waits_for_its_turn_is_not_active(channel: ChannelClient) -> None:
    name = channel.queue("q", arguments={"x-single-active-consumer": True})
    for tag in ("first", "second"):
        channel.consume(name, tag)
    session = channel.client.connection.channels[1]
    states = [consumer_record(consumer, session, NODE)["activity_status"] for consumer in session.consumers.values()]
    assert states == ["single_active", "waiting"]


def test_a_connection_counts_what_went_over_it(channel: ChannelClient) -> None:
    connection = channel.client.connection
    record = connection_record(connection, NODE)
    assert (record["user"], record["vhost"], record["state"]) == ("guest", "/", "running")
    assert record["auth_mechanism"] == "PLAIN"
    before = connection.received_octets
    channel.publish("nowhere", b"x" * 100)
    assert connection.received_octets > before + 100


def test_exchanges_and_bindings(channel: ChannelClient) -> None:
    name = channel.queue("q")
    bind(channel, name, "amq.topic", "a.#")
    vhost = channel.world.broker.vhosts["/"]
    queue, exchange = vhost.queues[name], vhost.exchanges["amq.topic"]
    assert exchange_record(exchange, vhost)["type"] == "topic"
    (binding,) = bindings_to(vhost, queue)
    assert list(bindings_of(vhost)) == [binding]
    assert binding_record(binding, vhost) == {
        "source": "amq.topic",
        "vhost": "/",
        "destination": "q",
        "destination_type": "queue",
        "routing_key": "a.#",
        "arguments": {},
        "properties_key": "a.%23",
    }
    assert default_binding_record(queue, vhost)["properties_key"] == "q"


@pytest.mark.parametrize(
    ("routing_key", "key"), [("", "~"), ("a b", "a+b"), ("to.~x", "to.%7Ex"), ("a/b", "a%2Fb"), ("\udcff", "%FF")]
)
def test_the_key_of_a_binding_without_arguments(routing_key: str, key: str) -> None:
    assert properties_key(routing_key, {}) == key


def test_arguments_make_the_key_of_a_binding_whatever_their_order() -> None:
    key = properties_key("k", {"a": 1, "b": 2})
    assert key == properties_key("k", {"b": 2, "a": 1})
    assert key.startswith("k~")
    assert key != properties_key("k", {"a": 1, "b": 3})


def test_tables_become_json() -> None:
    table = json_of_table(
        {
            "t": Timestamp(5),
            "d": Decimal(2, 314),
            "s": b"text",
            "x": b"\xff",
            "f": float("inf"),
            "l": [{"n": None}, True],
        }
    )
    assert table == {
        "t": 5,
        "d": 3.14,
        "s": "text",
        "x": "Not UTF-8, base64 is: /w==",
        "f": "inf",
        "l": [{"n": None}, True],
    }
