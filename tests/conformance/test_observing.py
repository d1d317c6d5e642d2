"""What can be watched: the event exchange, the firehose, and headers that the broker adds (3.36, 5.56 and 5.57)."""

from __future__ import annotations

import pytest

from amqp_broker.administration import permissions, vhosts
from amqp_broker.auth.users import Peer
from amqp_broker.config import Config
from amqp_broker.session.tracing import LONGEST_NAME_OCTETS
from amqp_codec import Int64, Properties, Table, Value
from tests.simulation.machine import Machine
from tests.support.client import ChannelClient, Client, Delivery, World
from tests.support.delivery import cancel, commit, nack, tx_select
from tests.support.topology import (
    bind,
    bind_exchange,
    delete_exchange,
    delete_queue,
    exchange,
    has_exchange,
    quorum_queue,
    unbind,
)

EVENTS = "amq.rabbitmq.event"
TRACE = "amq.rabbitmq.trace"
USER: Table = {"user_who_performed_action": b"guest"}
INTERNAL: Table = {"user_who_performed_action": b"rmq-internal"}


def all_of(channel: ChannelClient, queue: str) -> list[Delivery]:
    found = []
    while (delivery := channel.get(queue)) is not None:
        found.append(delivery)
    return found


def watching(world: World, key: str = "#") -> ChannelClient:
    """Have a queue "events" that gets those of one key."""
    world.broker.enable_event_exchange()
    channel = world.channel()
    channel.queue("events")
    bind(channel, "events", EVENTS, key)
    channel.drain("events")
    return channel


def events_of(channel: ChannelClient) -> list[tuple[str, Table]]:
    return [(each.routing_key, dict(each.headers)) for each in all_of(channel, "events")]


def event(channel: ChannelClient, key: str) -> Table:
    """Take the one event there is, but for its time."""
    ((found, headers),) = events_of(channel)
    assert found == key
    headers.pop("timestamp_in_ms")
    return headers


# Events


@pytest.mark.rule("3.36")
def test_nothing_is_told_until_somebody_asks(world: World) -> None:
    channel = world.channel()
    assert not has_exchange(channel, EVENTS)
    assert not world.broker.events.is_watched
    world.broker.enable_event_exchange()
    world.broker.enable_event_exchange()
    assert has_exchange(channel, EVENTS)
    channel.queue("events")
    bind(channel, "events", EVENTS, "queue.*")
    channel.queue("q")
    assert len(all_of(channel, "events")) == 1


@pytest.mark.rule("3.36")
def test_an_event_is_a_message_without_a_body(world: World) -> None:
    channel = watching(world, "queue.created")
    world.advance(1.5)
    channel.queue("q", durable=True, auto_delete=True, arguments={"x-expires": 5000})
    delivery = channel.get("events")
    assert delivery is not None
    assert (delivery.body, delivery.exchange, delivery.routing_key) == (b"", EVENTS, "queue.created")
    assert delivery.properties.delivery_mode == 2
    assert delivery.properties.timestamp == 1_000_001
    assert delivery.headers == {
        "timestamp_in_ms": 1_000_001_500,
        "name": b"q",
        "vhost": b"/",
        "durable": True,
        "auto_delete": True,
        "exclusive": False,
        "type": b"classic",
        "arguments": {"x-expires": 5000},
        **USER,
    }


@pytest.mark.rule("3.36")
def test_topology_is_told(world: World) -> None:
    channel = watching(world, "exchange.#")
    exchange(channel, "x", "topic", auto_delete=True, arguments={"a": 1})
    assert event(channel, "exchange.created") == {
        "name": b"x",
        "vhost": b"/",
        "type": b"topic",
        "durable": False,
        "auto_delete": True,
        "internal": False,
        "arguments": {"a": 1},
        **USER,
    }
    bind(channel, "events", EVENTS, "binding.#")
    bind(channel, "events", EVENTS, "queue.#")
    channel.queue("q")
    channel.drain("events")
    bind(channel, "q", "x", "k", {"b": 2})
    binding: Table = {
        "vhost": b"/",
        "source_name": b"x",
        "source_kind": b"exchange",
        "destination_name": b"q",
        "destination_kind": b"queue",
        "routing_key": b"k",
        "arguments": {"b": 2},
    }
    assert event(channel, "binding.created") == {**binding, **USER}
    delete_queue(channel, "q")
    told = events_of(channel)
    assert [key for key, _ in told] == ["queue.deleted", "binding.deleted", "exchange.deleted"]
    assert told[0][1].items() >= {"name": b"q", "vhost": b"/", **USER}.items()
    assert told[1][1].items() >= USER.items()
    assert told[2][1].items() >= {"name": b"x", **INTERNAL}.items()
    exchange(channel, "y", "fanout")
    bind_exchange(channel, "amq.fanout", "y")
    unbind(channel, "events", EVENTS, "exchange.#")
    channel.drain("events")
    delete_exchange(channel, "y")
    assert event(channel, "binding.deleted")["destination_kind"] == b"exchange"


@pytest.mark.rule("3.36")
def test_redeclaring_is_no_event(world: World) -> None:
    channel = watching(world)
    channel.queue("events")
    exchange(channel, EVENTS, "topic", durable=True, internal=True)
    bind(channel, "events", EVENTS, "#")
    delete_queue(channel, "missing")
    assert events_of(channel) == []


@pytest.mark.rule("3.36")
def test_clients_are_told(world: World) -> None:
    channel = watching(world)
    other = world.client()
    keys = [key for key, _ in events_of(channel)]
    assert keys == ["user.authentication.success", "connection.created"]
    theirs = other.channel(3)
    created = event(channel, "channel.created")
    assert created["number"] == 3
    assert created["user"] == b"guest"
    theirs.close()
    other.drop()
    keys = [key for key, _ in events_of(channel)]
    assert keys[-2:] == ["channel.closed", "connection.closed"]


@pytest.mark.rule("3.36")
def test_what_is_told_of_a_connection(world: World) -> None:
    channel = watching(world, "connection.created")
    peer = Peer("::1", 50_001, is_encrypted=True, own_address="127.0.0.1", own_port=5671)
    client = Client(world, peer=peer)
    client.open()
    headers = event(channel, "connection.created")
    assert headers.pop("client_properties") == client.connection.client_properties
    assert headers == {
        "name": client.connection.name.encode(),
        "type": b"network",
        "node": b"rabbit@localhost",
        "user": b"guest",
        "vhost": b"/",
        "protocol": b"{0,9,1}",
        "ssl": True,
        "host": b"{127,0,0,1}",
        "port": 5671,
        "peer_host": b"{0,0,0,0,0,0,0,1}",
        "peer_port": 50_001,
        "auth_mechanism": b"PLAIN",
        "timeout": 0,
        "frame_max": 131_072,
        "channel_max": 2047,
        "connected_at": int(world.time * 1000),
        **USER,
    }


@pytest.mark.rule("3.36")
def test_consumers_are_told(world: World) -> None:
    channel = watching(world, "consumer.*")
    channel.queue("q")
    channel.consume("q", "tag", exclusive=True, arguments={"x-priority": 1})
    headers = event(channel, "consumer.created")
    assert headers.pop("channel")
    assert headers == {
        "consumer_tag": b"tag",
        "exclusive": True,
        "ack_required": True,
        "queue": b"q",
        "vhost": b"/",
        "prefetch_count": 0,
        "arguments": {"x-priority": 1},
        **USER,
    }
    cancel(channel, "tag")
    assert event(channel, "consumer.deleted")["consumer_tag"] == b"tag"
    other = world.client()
    theirs = other.channel()
    theirs.consume("q", "a")
    theirs.consume("q", "b")
    channel.drain("events")
    other.drop()
    assert [headers["consumer_tag"] for _, headers in events_of(channel)] == [b"a", b"b"]


@pytest.mark.rule("3.36")
def test_a_failed_login_is_told(world: World) -> None:
    channel = watching(world, "user.authentication.failure")
    client = Client(world)
    client.login(response=b"\0guest\0wrong")
    assert [key for key, _ in events_of(channel)] == ["user.authentication.failure"]


@pytest.mark.rule("3.36")
def test_alarms_are_told(world: World) -> None:
    channel = watching(world, "alarm.*")
    for is_short in (True, True, False):
        world.broker.set_alarm("memory", is_short)
    assert [key for key, _ in events_of(channel)] == ["alarm.set", "alarm.cleared"]


@pytest.mark.rule("3.36")
def test_a_queue_does_not_hear_of_its_own_end(world: World) -> None:
    channel = watching(world)
    delete_queue(channel, "events")
    channel.queue("events")
    assert channel.counts("events") == (0, 0)


@pytest.mark.rule("3.36", "7.1")
def test_bindings_of_the_event_exchange_survive() -> None:
    machine = Machine()
    machine.broker.enable_event_exchange()
    channel = machine.channel()
    channel.queue("events", durable=True)
    bind(channel, "events", EVENTS, "exchange.created")
    machine = machine.restarted()
    channel = machine.channel()
    exchange(channel, "x")
    assert channel.drain("events") == []
    machine.broker.enable_event_exchange()
    exchange(channel, "y")
    assert [each.headers["name"] for each in all_of(channel, "events")] == [b"y"]


@pytest.mark.rule("1.33", "3.36")
def test_the_event_exchange_is_there_again_with_its_vhost(world: World) -> None:
    watching(world)
    vhosts.delete_vhost(world.broker, "/")
    vhosts.add_vhost(world.broker, "other")
    vhosts.add_vhost(world.broker, "/", by="somebody")
    permissions.set_permissions(world.broker, "guest", "/", ".*", ".*", ".*")
    channel = watching(world, "vhost.#")
    vhosts.delete_vhost(world.broker, "other")
    assert event(channel, "vhost.deleted") == {"name": b"other", "user_who_performed_action": b"rmq-internal"}


# The firehose


def traced(world: World, *keys: str) -> ChannelClient:
    channel = world.channel()
    channel.queue("trace")
    for key in keys or ("#",):
        bind(channel, "trace", TRACE, key)
    return channel


@pytest.mark.rule("5.56")
def test_publishes_and_deliveries_are_traced(world: World) -> None:
    channel = traced(world)
    channel.queue("q")
    channel.queue("copy")
    bind(channel, "q", "amq.fanout")
    channel.publish("k", b"before", exchange="amq.fanout")
    assert channel.drain("q") == [b"before"]
    assert channel.drain("trace") == []
    world.broker.set_tracing("/", True)
    headers: Table = {"h": 1, "CC": [b"c"], "BCC": [b"b"]}
    properties = Properties(headers=headers, delivery_mode=2, message_id="7", timestamp=1 << 40)
    channel.publish("k", b"body", exchange="amq.fanout", properties=properties)
    publish = channel.get("trace")
    assert publish is not None
    assert (publish.body, publish.exchange, publish.routing_key) == (b"body", TRACE, "publish.amq.fanout")
    assert publish.properties == Properties(headers=publish.headers)
    common: Table = {
        "exchange_name": b"amq.fanout",
        "routing_keys": [b"k", b"c", b"b"],
        "properties": {
            "headers": {"h": 1, "CC": [b"c"]},
            "delivery_mode": 2,
            "message_id": b"7",
            "timestamp": Int64(1 << 40),
        },
        "node": b"rabbit@localhost",
        "vhost": b"/",
        "connection": b"127.0.0.1:50000",
        "channel": 1,
        "user": b"guest",
    }
    assert publish.headers == {**common, "routed_queues": [b"q"]}
    channel.get("q", no_ack=False)
    deliver = channel.get("trace")
    assert deliver is not None
    assert (deliver.body, deliver.routing_key) == (b"body", "deliver.q")
    assert deliver.headers == {**common, "redelivered": 0}
    world.broker.set_tracing("/", False)
    channel.publish("k", b"after", exchange="amq.fanout")
    channel.get("q")
    assert channel.drain("trace") == []


@pytest.mark.rule("5.56")
def test_consumers_that_were_there_before_are_traced_and_redeliveries_told(world: World) -> None:
    channel = traced(world, "deliver.#")
    quorum_queue(channel, "q")
    channel.consume("q")
    world.broker.set_tracing("/", True)
    channel.publish("q", b"1")
    first = channel.expect_delivery()
    nack(channel, first.tag)
    channel.expect_delivery()
    late = world.channel()
    late.queue("q2")
    late.consume("q2", no_ack=True)
    late.publish("q2", b"2")
    late.expect_bodies(b"2")
    told = [(each.routing_key, each.headers["redelivered"]) for each in all_of(channel, "trace")]
    assert told == [("deliver.q", 0), ("deliver.q", 1), ("deliver.q2", 0)]


@pytest.mark.rule("5.56")
def test_what_is_traced_is_not_traced_again(world: World) -> None:
    channel = traced(world)
    world.broker.set_tracing("/", True)
    channel.publish("nowhere", b"1")
    told = channel.get("trace")
    assert told is not None
    assert (told.routing_key, told.headers["routed_queues"]) == ("publish.", [])
    assert channel.get("trace") is None


@pytest.mark.rule("5.56")
def test_a_publish_in_a_transaction_is_traced_when_it_comes(world: World) -> None:
    channel = traced(world)
    channel.queue("q")
    tx_select(channel)
    world.broker.set_tracing("/", True)
    channel.publish("q", b"1")
    assert len(all_of(channel, "trace")) == 1
    commit(channel)
    assert all_of(channel, "trace") == []


@pytest.mark.rule("5.56")
def test_a_long_name_is_cut(world: World) -> None:
    channel = traced(world)
    name = "x" * 255
    exchange(channel, name)
    world.broker.set_tracing("/", True)
    channel.publish("k", b"1", exchange=name)
    told = channel.get("trace")
    assert told is not None
    assert len(told.routing_key) == LONGEST_NAME_OCTETS
    assert told.headers["exchange_name"] == name.encode()


# Interceptors


@pytest.mark.rule("5.57")
def test_nothing_is_added_unless_configured(channel: ChannelClient) -> None:
    channel.queue("q")
    channel.publish("q", b"1")
    delivery = channel.get("q")
    assert delivery is not None
    assert delivery.properties == Properties()


@pytest.mark.rule("5.57")
@pytest.mark.parametrize("mode", ["keep", "overwrite"])
def test_the_time_is_added(mode: str) -> None:
    world = World(Config(set_header_timestamp=mode))  # type: ignore[arg-type]
    channel = world.channel()
    channel.queue("q")
    channel.publish("q", b"1")
    given = Properties(headers={"timestamp_in_ms": 5, "h": 1}, timestamp=7)
    channel.publish("q", b"2", properties=given)
    first, second = all_of(channel, "q")
    now = Properties(headers={"timestamp_in_ms": Int64(1_000_000_000)}, timestamp=1_000_000)
    assert first.properties == now
    added: Table = {"timestamp_in_ms": Int64(1_000_000_000), "h": 1}
    overwritten = Properties(headers=added, timestamp=1_000_000)
    assert second.properties == (given if mode == "keep" else overwritten)


@pytest.mark.rule("5.57")
@pytest.mark.parametrize(("mode", "expected"), [("keep", b"other"), ("overwrite", b"node")])
def test_the_node_is_added(mode: str, expected: Value) -> None:
    world = World(Config(set_header_routing_node=mode, node_name="node"))  # type: ignore[arg-type]
    channel = world.channel()
    channel.queue("q")
    channel.publish("q", b"1")
    channel.publish("q", b"2", properties=Properties(headers={"x-routed-by": b"other"}))
    first, second = all_of(channel, "q")
    assert first.properties == Properties(headers={"x-routed-by": b"node"})
    assert second.headers == {"x-routed-by": expected}


@pytest.mark.rule("5.57")
def test_headers_that_are_added_take_part_in_routing() -> None:
    world = World(Config(set_header_routing_node="overwrite", node_name="node"))
    channel = world.channel()
    channel.queue("q")
    bind(channel, "q", "amq.headers", "", {"x-match": b"all-with-x", "x-routed-by": b"node"})
    channel.publish("", b"1", exchange="amq.headers")
    assert channel.drain("q") == [b"1"]
