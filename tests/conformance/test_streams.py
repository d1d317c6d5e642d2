"""Streams over AMQP 0-9-1 (rules 4.51 to 4.56, and what the rest of the document says of them)."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import pytest

from amqp_broker.administration.permissions import set_permissions
from amqp_broker.administration.vhosts import add_vhost, delete_vhost
from amqp_broker.queues.stream import StreamQueue
from amqp_codec import (
    BasicAck,
    BasicCancel,
    BasicConsume,
    BasicGet,
    Int64,
    Properties,
    QueueDeclare,
    QueueDeclareOk,
    QueueDelete,
    QueueDeleteOk,
    QueuePurge,
    Table,
    Timestamp,
    Value,
)
from tests.simulation.machine import SMALL, Machine
from tests.support.client import ChannelClient, Client, Delivery, World
from tests.support.delivery import (
    ack,
    closes_channel,
    closes_connection,
    commit,
    confirm_select,
    nack,
    qos,
    reject,
    tx_select,
)
from tests.support.topology import bind, delete_queue, exchange, expect_ack

NAMED = "queue 's' in vhost '/'"


def stream(channel: ChannelClient, **arguments: Value) -> None:
    """Declare stream s; arguments without their prefix, with underscores."""
    table: Table = {f"x-{key.replace('_', '-')}": value for key, value in arguments.items()}
    channel.queue("s", durable=True, arguments={"x-queue-type": b"stream", **table})


def read(
    channel: ChannelClient, offset: Value = b"first", *, tag: str = "c", prefetch: int = 100, **more: Value
) -> str:
    """Start a consumer of stream s at an offset."""
    qos(channel, prefetch)
    table: Table = {f"x-stream-{key.replace('_', '-')}": value for key, value in more.items()}
    return channel.consume("s", tag, arguments={"x-stream-offset": offset, **table})


def offsets(deliveries: list[Delivery]) -> list[int]:
    found = []
    for delivery in deliveries:
        offset = delivery.headers["x-stream-offset"]
        assert type(offset) is Int64
        found.append(int(offset))
    return found


def filled(channel: ChannelClient, count: int, **arguments: Value) -> list[bytes]:
    """Declare stream s and publish so many messages, a second apart; gives their bodies."""
    stream(channel, **arguments)
    bodies = [b"%d" % number for number in range(count)]
    for body in bodies:
        channel.publish("s", body)
        channel.world.advance(1.0)
    return bodies


def the_stream(world: World) -> StreamQueue:
    queue = world.broker.vhosts["/"].queues["s"]
    assert isinstance(queue, StreamQueue)
    return queue


# Declare


@pytest.mark.rule("4.17")
@pytest.mark.parametrize(
    ("options", "wrong"),
    [
        ({}, "non-durable"),
        ({"durable": True, "exclusive": True}, "exclusive-owner"),
        ({"durable": True, "auto_delete": True}, "auto-delete"),
    ],
)
def test_stream_is_durable_shared_and_stays(channel: ChannelClient, options: dict[str, bool], wrong: str) -> None:
    method = QueueDeclare(queue="s", arguments={"x-queue-type": b"stream"}, **options)
    closes_channel(channel, method, 406, f"PRECONDITION_FAILED - invalid property '{wrong}' for {NAMED}")


@pytest.mark.rule("4.14")
@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("x-max-length-bytes", -1, f"invalid arg 'x-max-length-bytes' for {NAMED}: {{value_negative,-1}}"),
        ("x-max-age", b"1W", f"invalid arg 'x-max-age' for {NAMED}: invalid_max_age"),
        ("x-max-age", b"0s", f"invalid arg 'x-max-age' for {NAMED}: invalid_max_age"),
        ("x-initial-cluster-size", 0, f"invalid arg 'x-initial-cluster-size' for {NAMED}: {{value_zero,0}}"),
        ("x-max-length", 5, f"invalid arg 'x-max-length' for {NAMED} of queue type rabbit_stream_queue"),
        ("x-message-ttl", 5, f"invalid arg 'x-message-ttl' for {NAMED} of queue type rabbit_stream_queue"),
        ("x-expires", 5, f"invalid arg 'x-expires' for {NAMED} of queue type rabbit_stream_queue"),
        (
            "x-single-active-consumer",
            True,
            f"invalid arg 'x-single-active-consumer' for {NAMED} of queue type rabbit_stream_queue",
        ),
    ],
)
def test_arguments_are_checked(channel: ChannelClient, key: str, value: Value, text: str) -> None:
    method = QueueDeclare(queue="s", durable=True, arguments={"x-queue-type": b"stream", key: value})
    closes_channel(channel, method, 406, f"PRECONDITION_FAILED - {text}")


@pytest.mark.rule("4.14")
def test_arguments_of_streams_are_accepted(channel: ChannelClient) -> None:
    stream(
        channel,
        max_length_bytes=1,
        max_age=b"7D",
        stream_max_segment_size_bytes=3_000_000_000,
        stream_filter_size_bytes=255,
        initial_cluster_size=3,
        queue_leader_locator=b"balanced",
    )
    assert channel.counts("s") == (0, 0)


# What can't be done


@pytest.mark.rule("4.51")
def test_consumer_needs_a_prefetch(channel: ChannelClient) -> None:
    stream(channel)
    text = f"PRECONDITION_FAILED - consumer prefetch count is not set for stream {NAMED}"
    closes_channel(channel, BasicConsume(queue="s"), 406, text)


@pytest.mark.rule("4.51")
def test_consumer_must_ack(channel: ChannelClient) -> None:
    stream(channel)
    qos(channel, 1)
    text = f"NOT_IMPLEMENTED - automatic acknowledgement not supported by stream {NAMED}"
    closes_connection(channel, BasicConsume(queue="s", no_ack=True), 540, text)


@pytest.mark.rule("4.51")
def test_get_is_refused(channel: ChannelClient) -> None:
    stream(channel)
    text = f"NOT_IMPLEMENTED - basic.get not supported by stream queues {NAMED}"
    closes_connection(channel, BasicGet(queue="s"), 540, text)


@pytest.mark.rule("4.22")
def test_purge_is_refused(channel: ChannelClient) -> None:
    stream(channel)
    text = f"NOT_IMPLEMENTED - queue.purge not supported by stream queues {NAMED}"
    closes_connection(channel, QueuePurge(queue="s"), 540, text)


@pytest.mark.rule("4.20")
def test_delete_ignores_its_conditions(channel: ChannelClient, other: ChannelClient) -> None:
    filled(channel, 2)
    read(other)
    other.expect_bodies(b"0", b"1")
    assert channel.call(QueueDelete(queue="s", if_unused=True, if_empty=True), QueueDeleteOk).message_count == 2


@pytest.mark.rule("5.45")
def test_consumers_of_a_deleted_stream_are_cancelled(channel: ChannelClient, other: ChannelClient) -> None:
    filled(channel, 2)
    read(other)
    first, _ = other.expect_bodies(b"0", b"1")
    delete_queue(channel, "s")
    assert other.expect(BasicCancel).consumer_tag == "c"
    ack(other, first.tag)
    other.expect_nothing()


# Offsets


@pytest.mark.rule("4.52")
@pytest.mark.parametrize(
    ("offset", "first"),
    [
        (b"first", 0),
        (b"last", 9),
        (b"next", 10),
        (0, 0),
        (4, 4),
        (9, 9),
        (10, 10),
        (-3, 0),
        (999, 10),
        (Timestamp(0), 0),
        (Timestamp(1_000_000), 0),
        (Timestamp(1_000_003), 3),
        (Timestamp(2_000_000), 10),
        (b"4s", 6),
        (b"1h", 0),
        (b"0s", 10),
        (b"1Y", 0),
    ],
)
@pytest.mark.parametrize("segment_octets", [500, 1_000_000])
def test_consumer_begins_where_it_asks(channel: ChannelClient, offset: Value, first: int, segment_octets: int) -> None:
    bodies = filled(channel, 10, stream_max_segment_size_bytes=segment_octets)
    read(channel, offset)
    deliveries = channel.expect_bodies(*bodies[first:])
    assert offsets(deliveries) == list(range(first, 10))
    channel.publish("s", b"new")
    assert offsets(channel.expect_bodies(b"new")) == [10]


@pytest.mark.rule("4.52")
def test_without_an_offset_a_consumer_gets_what_comes(channel: ChannelClient) -> None:
    filled(channel, 3)
    qos(channel, 10)
    channel.consume("s")
    channel.expect_nothing()
    channel.publish("s", b"new")
    assert offsets(channel.expect_bodies(b"new")) == [3]


@pytest.mark.rule("4.52")
@pytest.mark.parametrize(
    ("offset", "detail"),
    [
        (b"tomorrow", "invalid_max_age"),
        (b"5", "invalid_max_age"),
        (b"-1h", "invalid_max_age"),
        (True, "{unacceptable_type,bool}"),
        ([1], "{unacceptable_type,array}"),
    ],
)
def test_bad_offset_is_refused(channel: ChannelClient, offset: Value, detail: str) -> None:
    stream(channel)
    qos(channel, 1)
    method = BasicConsume(queue="s", arguments={"x-stream-offset": offset})
    text = f"PRECONDITION_FAILED - invalid arg 'x-stream-offset' for {NAMED}: {detail}"
    closes_channel(channel, method, 406, text)


@pytest.mark.rule("4.52")
@pytest.mark.rule("4.56")
def test_delivery_is_as_published_but_for_its_offset(channel: ChannelClient) -> None:
    stream(channel)
    exchange(channel, "x", "fanout")
    bind(channel, "s", "x", "")
    published = Properties(
        content_type="text/plain",
        content_encoding="gzip",
        headers={"table": {"a": 1}, "list": [1, b"two"]},
        priority=3,
        message_id="m",
        app_id="a",
    )
    channel.publish("key", b"1", exchange="x", properties=published)
    channel.publish("s", b"2")
    channel.publish("s", b"3", properties=Properties(content_type="x", delivery_mode=1))
    channel.publish("s", b"4", properties=Properties(headers={"x-stream-offset": Int64(77), "h": True}))
    read(channel)
    first, second, third, fourth = channel.expect_bodies(b"1", b"2", b"3", b"4")
    assert (first.exchange, first.routing_key, first.redelivered) == ("x", "key", False)
    assert first.headers == {"table": {"a": 1}, "list": [1, b"two"], "x-stream-offset": 0}
    assert (first.properties.content_type, first.properties.content_encoding) == ("text/plain", "gzip")
    assert (first.properties.priority, first.properties.message_id, first.properties.app_id) == (3, "m", "a")
    assert first.properties.delivery_mode is None
    assert second.properties == Properties(headers={"x-stream-offset": 1})
    assert third.properties == Properties(content_type="x", delivery_mode=1, headers={"x-stream-offset": 2})
    assert fourth.headers == {"h": True, "x-stream-offset": 3}


# Reading


@pytest.mark.rule("4.53")
@pytest.mark.parametrize("settle", [ack, nack, reject])
def test_settling_only_gives_credit(channel: ChannelClient, settle: Callable[[ChannelClient, int], None]) -> None:
    filled(channel, 5)
    read(channel, prefetch=2)
    first, second = channel.expect_bodies(b"0", b"1")
    settle(channel, first.tag)
    channel.expect_bodies(b"2")
    settle(channel, second.tag)
    channel.expect_bodies(b"3")
    assert channel.counts("s") == (5, 1)
    assert the_stream(channel.world).unacked_count == 2


@pytest.mark.rule("4.53")
def test_what_is_unacked_does_not_come_back(channel: ChannelClient, other: ChannelClient) -> None:
    filled(channel, 3)
    read(other)
    other.expect_bodies(b"0", b"1", b"2")
    other.close()
    read(channel)
    assert not any(delivery.redelivered for delivery in channel.expect_bodies(b"0", b"1", b"2"))
    assert the_stream(channel.world).unacked_count == 3


@pytest.mark.rule("4.53")
def test_consumers_read_independently(channel: ChannelClient, other: ChannelClient, world: World) -> None:
    filled(channel, 4)
    read(channel, b"first", prefetch=1)
    (slow,) = channel.expect_bodies(b"0")
    read(other, 2)
    other.expect_bodies(b"2", b"3")
    channel.publish("s", b"4")
    other.expect_bodies(b"4")
    third = world.channel()
    read(third, b"next")
    channel.publish("s", b"5")
    third.expect_bodies(b"5")
    other.expect_bodies(b"5")
    for body in (b"1", b"2", b"3", b"4", b"5"):
        ack(channel, slow.tag)
        (slow,) = channel.expect_bodies(body)


@pytest.mark.rule("4.53")
def test_a_client_that_does_not_read_holds_up_nobody(world: World, channel: ChannelClient) -> None:
    stream(channel)
    deaf = Client(world)
    deaf.open()
    deaf_channel = deaf.channel()
    read(deaf_channel, prefetch=1000)
    deaf.reads = False
    body = bytes(100_000)
    read(channel, prefetch=1000)
    for _ in range(40):
        channel.publish("s", body)
        channel.expect_bodies(body)
    assert deaf.connection.outbox.size < 2 * world.broker.config.outbox_high_octets
    deaf.reads = True
    deaf_channel.expect_bodies(*[body] * 40)


@pytest.mark.rule("4.53")
def test_consumers_of_one_channel_take_turns_and_cancel(channel: ChannelClient) -> None:
    bodies = filled(channel, 3)
    read(channel, 0, tag="a")
    channel.expect_bodies(*bodies)
    read(channel, 1, tag="b")
    assert [each.consumer_tag for each in channel.expect_bodies(*bodies[1:])] == ["b", "b"]
    channel.publish("s", b"x")
    assert {each.consumer_tag for each in channel.expect_bodies(b"x", b"x")} == {"a", "b"}
    channel.client.send(1, BasicCancel(consumer_tag="a", no_wait=True))
    channel.publish("s", b"y")
    assert [each.consumer_tag for each in channel.expect_bodies(b"y")] == ["b"]


def test_a_shared_prefetch_is_kept_to(channel: ChannelClient) -> None:
    filled(channel, 3)
    qos(channel, 2, shared=True)
    channel.consume("s", arguments={"x-stream-offset": b"first"})
    first, _ = channel.expect_bodies(b"0", b"1")
    ack(channel, first.tag)
    channel.expect_bodies(b"2")


# Retention


@pytest.mark.rule("4.54")
def test_oldest_segments_go_when_there_is_too_much(channel: ChannelClient) -> None:
    stream(channel, max_length_bytes=5_000, stream_max_segment_size_bytes=1_000)
    for number in range(100):
        channel.publish("s", b"%03d" % number + bytes(197))
    queue = the_stream(channel.world)
    assert queue.log.octets <= 5_000
    assert queue.first_offset > 50
    assert queue.last_offset == 99
    assert 3 <= queue.segment_count <= 5
    assert channel.counts("s") == (100 - queue.first_offset, 0)
    read(channel, 10)
    assert offsets([channel.expect_delivery()]) == [queue.first_offset]


@pytest.mark.rule("4.54")
def test_last_segment_stays_whatever_the_limit(channel: ChannelClient) -> None:
    stream(channel, max_length_bytes=1, stream_max_segment_size_bytes=1_000)
    channel.publish("s", bytes(5_000))
    assert channel.counts("s") == (1, 0)
    channel.publish("s", bytes(5_000))
    assert channel.counts("s") == (1, 0)


@pytest.mark.rule("4.54")
def test_segments_go_when_they_are_too_old(channel: ChannelClient) -> None:
    bodies = filled(channel, 30, max_age=b"10s")
    queue = the_stream(channel.world)
    assert 5 <= 30 - queue.first_offset <= 25
    read(channel)
    channel.expect_bodies(*bodies[queue.first_offset :])
    channel.world.advance(1_000)
    assert queue.segment_count == 1
    assert channel.counts("s")[0] > 0


@pytest.mark.rule("4.54")
def test_a_segment_that_is_too_old_waits_for_the_next_to_be_on_disk() -> None:
    machine = Machine()
    channel = machine.channel()
    filled(channel, 30, max_age=b"10s")
    queue = the_stream(machine)
    machine.advance(1_000)
    machine.is_eager = False
    channel.publish("s", b"new")
    channel.client.pump()
    batch = machine.streams.take_batch()  # makes another segment, which the disk hasn't yet
    assert batch is not None
    assert queue.segment_count == 2
    machine.advance(1_000)
    assert queue.segment_count == 2
    batch.execute(machine.streams.disk)
    machine.streams.batch_done(batch, None)
    assert queue.segment_count == 1
    assert queue.first_offset == 30


@pytest.mark.rule("4.54")
def test_reader_goes_on_behind_what_retention_has_dropped(channel: ChannelClient, other: ChannelClient) -> None:
    stream(channel, max_length_bytes=5_000, stream_max_segment_size_bytes=1_000)
    channel.publish("s", b"0")
    read(other, prefetch=1)
    (first,) = other.expect_bodies(b"0")
    for _ in range(100):
        channel.publish("s", bytes(200))
    ack(other, first.tag)
    (second,) = other.expect_bodies(bytes(200))
    assert offsets([second])[0] >= the_stream(channel.world).first_offset > 0


@pytest.mark.rule("8.6")
def test_other_limits_count_at_once(channel: ChannelClient) -> None:
    stream(channel, stream_max_segment_size_bytes=1_000)
    for _ in range(50):
        channel.publish("s", bytes(200))
    queue = the_stream(channel.world)
    assert queue.first_offset == 0
    queue.apply(attrs.evolve(queue.options, max_length_octets=3_000))
    assert queue.log.octets <= 3_000
    assert queue.first_offset > 20


# Filters


@pytest.mark.rule("4.55")
@pytest.mark.parametrize(
    ("wanted", "unfiltered", "expected"),
    [
        (b"red", False, (0, 4, 8)),
        ([b"red", b"blue"], False, (0, 2, 4, 6, 8, 10)),
        (b"red", True, (0, 3, 4, 7, 8, 11)),
        (b"pink", False, ()),
        ([], True, (3, 7, 11)),
    ],
)
@pytest.mark.parametrize("is_kept", [False, True])
def test_filter_lets_through_what_is_wanted(
    wanted: Value, unfiltered: bool, expected: tuple[int, ...], is_kept: bool
) -> None:
    channel = (Machine() if is_kept else World()).channel()
    stream(channel)
    for number in range(12):
        colour = (b"red", b"green", b"blue", None)[number % 4]
        headers: Table = {} if colour is None else {"x-stream-filter-value": colour}
        channel.publish("s", b"%d" % number, properties=Properties(headers=headers))
    read(channel, filter=wanted, match_unfiltered=unfiltered)
    deliveries = channel.expect_bodies(*[b"%d" % number for number in expected])
    assert offsets(deliveries) == list(expected)


@pytest.mark.rule("4.55")
def test_passing_over_much_lets_others_have_their_turn(channel: ChannelClient, other: ChannelClient) -> None:
    stream(channel)
    for _ in range(12):
        channel.publish("s", bytes(1_000_000), properties=Properties(headers={"x-stream-filter-value": b"red"}))
    channel.publish("s", b"it", properties=Properties(headers={"x-stream-filter-value": b"blue"}))
    read(other, filter=b"blue")
    other.expect_nothing()
    other.world.advance(0.0)
    other.world.advance(0.0)
    other.world.advance(0.0)
    other.expect_bodies(b"it")


# Storage


@pytest.mark.rule("6.5")
@pytest.mark.rule("7.2")
@pytest.mark.rule("7.4")
@pytest.mark.parametrize("restart", [Machine.restarted, Machine.crashed, Machine.killed])
def test_what_was_confirmed_is_there_after_any_end(restart: Callable[[Machine], Machine]) -> None:
    machine = Machine()
    channel = confirm_select(machine.channel())
    bodies = filled(channel, 20, stream_max_segment_size_bytes=700)
    assert [channel.expect(BasicAck).delivery_tag for _ in bodies] == list(range(1, 21))
    machine = restart(machine)
    channel = machine.channel()
    assert channel.counts("s") == (20, 0)
    read(channel)
    assert offsets(channel.expect_bodies(*bodies)) == list(range(20))
    channel.publish("s", b"new")
    assert offsets(channel.expect_bodies(b"new")) == [20]
    machine = restart(restart(machine))
    channel = machine.channel()
    read(channel, 19)
    assert offsets(channel.expect_bodies(b"19", b"new")) == [19, 20]


@pytest.mark.rule("6.5")
def test_confirm_and_delivery_wait_for_the_disk() -> None:
    machine = Machine(is_eager=False)
    channel, other = machine.channel(), machine.channel()
    channel.send(QueueDeclare(queue="s", durable=True, arguments={"x-queue-type": b"stream"}))
    machine.writer.run()
    channel.expect(QueueDeclareOk)
    confirm_select(channel)
    read(other)
    channel.publish("s", b"1")
    channel.expect_nothing()
    other.expect_nothing()
    machine.writer.run()
    expect_ack(channel, 1)
    other.expect_bodies(b"1")


@pytest.mark.rule("6.17")
def test_commit_waits_for_the_disk() -> None:
    machine = Machine()
    channel = machine.channel()
    stream(channel)
    tx_select(channel)
    channel.publish("s", b"1")
    assert channel.counts("s") == (0, 0)
    commit(channel)
    machine = machine.crashed()
    channel = machine.channel()
    read(channel)
    channel.expect_bodies(b"1")


def test_confirms_keep_their_order_between_streams_and_queues() -> None:
    machine = Machine(is_eager=True)
    channel = machine.channel()
    stream(channel)
    channel.queue("q", durable=True)
    confirm_select(channel)
    machine.is_eager = False
    persistent = Properties(delivery_mode=2)
    for name in ("s", "q", "s", "q"):
        channel.publish(name, b"1", properties=persistent)
    channel.expect_nothing()
    machine.is_eager = True
    assert [channel.expect(BasicAck).delivery_tag for _ in range(4)] == [1, 2, 3, 4]


@pytest.mark.rule("4.36", "7.4")
def test_a_dead_letter_leaves_its_queue_when_the_stream_has_it() -> None:
    machine = Machine()
    channel = machine.channel()
    stream(channel)
    arguments: Table = {"x-dead-letter-exchange": b"", "x-dead-letter-routing-key": b"s"}
    channel.queue("q", durable=True, arguments=arguments)
    confirm_select(channel)
    channel.publish("q", b"1", properties=Properties(delivery_mode=2))
    expect_ack(channel, 1)
    machine.is_eager = False
    channel.send(BasicGet(queue="q"))
    reject(channel, 1, requeue=False)
    channel.client.pump()
    machine.advance(SMALL.lazy_delay_s)  # what is removed is written later than what is stored
    machine.writer.run_journal()
    crashed = machine.crashed().channel()
    assert (crashed.counts("q")[0], crashed.counts("s")[0]) == (1, 0)
    machine.writer.run()
    machine.advance(SMALL.lazy_delay_s)
    machine.writer.run()
    killed = machine.killed().channel()
    assert (killed.counts("q")[0], killed.counts("s")[0]) == (0, 1)


def test_files_of_a_deleted_stream_go() -> None:
    machine = Machine()
    channel = machine.channel()
    filled(channel, 5)
    assert machine.disk.names("data/streams")
    delete_queue(channel, "s")
    machine.writer.run()
    assert not machine.disk.names("data/streams")
    stream(channel)
    channel.publish("s", b"again")
    read(channel)
    assert offsets(channel.expect_bodies(b"again")) == [0]
    assert machine.crashed().channel().counts("s") == (1, 0)


def test_files_of_a_deleted_vhost_go() -> None:
    machine = Machine()
    add_vhost(machine.broker, "v")
    set_permissions(machine.broker, "guest", "v", ".*", ".*", ".*")
    channel = machine.client_of("v").channel()
    filled(channel, 5)
    delete_vhost(machine.broker, "v")
    machine.writer.run()
    assert not machine.disk.names("data/streams")


def test_a_file_that_is_being_made_when_its_stream_is_deleted_goes() -> None:
    machine = Machine()
    channel = machine.channel()
    stream(channel)
    machine.is_eager = False
    channel.publish("s", b"1")
    batch = machine.streams.take_batch()
    assert batch is not None
    channel.send(QueueDelete(queue="s"))
    machine.writer.run_journal()
    batch.execute(machine.streams.disk)
    machine.streams.batch_done(batch, None)
    assert machine.disk.names("data/streams")
    machine.writer.run()
    assert not machine.disk.names("data/streams")


def test_files_stay_until_it_is_certain_that_their_stream_is_deleted() -> None:
    machine = Machine()
    channel = machine.channel()
    filled(channel, 5)
    machine.is_eager = False
    channel.send(QueueDelete(queue="s"))
    machine.writer.run_streams()
    assert machine.crashed().channel().counts("s") == (5, 0)


def test_files_of_a_stream_whose_declaration_was_lost_in_a_crash_go() -> None:
    machine = Machine()
    channel = machine.channel()
    filled(channel, 5)
    name = machine.disk.names("data/streams")[0]
    stray = f"data/streams/{99:016d}{name[16:]}"
    machine.disk.put(stray, machine.disk.get(f"data/streams/{name}"))
    machine = machine.restarted()
    machine.writer.run()
    assert stray not in machine.disk.paths()
    assert machine.channel().counts("s") == (5, 0)
