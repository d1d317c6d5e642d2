"""Section 5b: properties and field tables, octet by octet."""

from __future__ import annotations

import struct
from collections.abc import Iterable

import pytest

from amqp_codec import (
    FRAME_BODY,
    FRAME_HEADER,
    BasicAck,
    BasicPublish,
    ByteArray,
    Decimal,
    Float32,
    Int8,
    Int16,
    Int32,
    Int64,
    Properties,
    Table,
    Timestamp,
    UInt8,
    UInt16,
    UInt32,
    Value,
    encode_frame,
    encode_method_frame,
)
from tests.support.client import ChannelClient, Client, Delivery, World
from tests.support.delivery import confirm_select, reject
from tests.support.storage import SlowStorage
from tests.support.topology import bind, quorum_queue

HEADER_HEAD = struct.Struct(">HHQH")
BODY = b"body"


def publish_header(channel: ChannelClient, queue: str, flags: int, properties: bytes, *, exchange: str = "") -> bytes:
    """Publish with a content header made of these octets; gives its whole payload."""
    header = HEADER_HEAD.pack(60, 0, len(BODY), flags) + properties
    channel.client.send_octets(
        encode_method_frame(channel.id, BasicPublish(exchange=exchange, routing_key=queue))
        + encode_frame(FRAME_HEADER, channel.id, header)
        + encode_frame(FRAME_BODY, channel.id, BODY)
    )
    return header


def got(channel: ChannelClient, queue: str) -> Delivery:
    delivery = channel.get(queue)
    assert delivery is not None
    return delivery


ONE_BY_ONE: list[tuple[int, bytes, Properties]] = [
    (0x8000, b"\x02ct", Properties(content_type="ct")),
    (0x4000, b"\x02ce", Properties(content_encoding="ce")),
    (0x2000, b"\x00\x00\x00\x07\x01kI\x00\x00\x00\x05", Properties(headers={"k": Int32(5)})),
    (0x1000, b"\x02", Properties(delivery_mode=2)),
    (0x0800, b"\x09", Properties(priority=9)),
    (0x0400, b"\x02ci", Properties(correlation_id="ci")),
    (0x0200, b"\x02rt", Properties(reply_to="rt")),
    (0x0100, b"\x0590000", Properties(expiration="90000")),
    (0x0080, b"\x02mi", Properties(message_id="mi")),
    (0x0040, b"\x00\x00\x00\x00\x65\x00\x00\x01", Properties(timestamp=0x65000001)),
    (0x0020, b"\x02ty", Properties(type="ty")),
    (0x0010, b"\x05guest", Properties(user_id="guest")),
    (0x0008, b"\x02ai", Properties(app_id="ai")),
    (0x0004, b"\x02cl", Properties(cluster_id="cl")),
]


@pytest.mark.rule("5.9")
@pytest.mark.parametrize(("flag", "octets", "expected"), ONE_BY_ONE)
def test_each_property_has_its_flag(channel: ChannelClient, flag: int, octets: bytes, expected: Properties) -> None:
    queue = channel.queue("q")
    publish_header(channel, queue, flag, octets)
    assert got(channel, queue).properties == expected


@pytest.mark.rule("5.9", "5.10")
def test_all_properties_stand_in_the_order_of_their_flags_and_pass_unchanged(channel: ChannelClient) -> None:
    queue = channel.queue("q")
    header = publish_header(channel, queue, 0xFFFC, b"".join(octets for _, octets, _ in ONE_BY_ONE))
    delivery = got(channel, queue)
    assert delivery.header_raw == header
    for _, _, expected in ONE_BY_ONE:
        for name in Properties.__slots__:
            value = getattr(expected, name)
            assert value is None or getattr(delivery.properties, name) == value


@pytest.mark.rule("5.9")
@pytest.mark.parametrize("flags", [0x0001, 0x0002])
def test_unused_flags_are_refused(channel: ChannelClient, flags: int) -> None:
    publish_header(channel, channel.queue("q"), flags, b"\x00\x00")
    channel.client.expect_close(501, "FRAME_ERROR - cannot decode properties")


@pytest.mark.rule("5.10")
def test_absent_properties_stay_absent(channel: ChannelClient) -> None:
    queue = channel.queue("q", durable=True)
    header = publish_header(channel, queue, 0, b"")
    delivery = got(channel, queue)
    assert delivery.header_raw == header
    assert delivery.properties == Properties()


@pytest.mark.rule("5.10")
def test_empty_properties_stay_present_and_empty(channel: ChannelClient) -> None:
    queue = channel.queue("q")
    flags = 0x8000 | 0x4000 | 0x2000 | 0x0400 | 0x0200 | 0x0080 | 0x0020 | 0x0008 | 0x0004
    header = publish_header(channel, queue, flags, b"\0\0" + b"\0\0\0\0" + b"\0" * 6)
    delivery = got(channel, queue)
    assert delivery.header_raw == header
    assert delivery.properties == Properties(
        content_type="",
        content_encoding="",
        headers={},
        correlation_id="",
        reply_to="",
        message_id="",
        type="",
        app_id="",
        cluster_id="",
    )


@pytest.mark.rule("5.10")
def test_requeued_message_keeps_its_header(channel: ChannelClient) -> None:
    queue = channel.queue("q")
    header = publish_header(channel, queue, 0x2100, ONE_BY_ONE[2][1] + ONE_BY_ONE[7][1])
    delivery = channel.get(queue, no_ack=False)
    assert delivery is not None
    reject(channel, delivery.tag)
    assert got(channel, queue).header_raw == header


@pytest.mark.rule("5.10")
def test_dead_letter_loses_its_expiration_and_nothing_else(channel: ChannelClient) -> None:
    dead = channel.queue("dead")
    queue = channel.queue("q", arguments={"x-dead-letter-exchange": b"", "x-dead-letter-routing-key": b"dead"})
    sent = Properties(content_type="ct", headers={"n": 1}, delivery_mode=1, reply_to="rt", expiration="90000")
    channel.publish(queue, BODY, properties=sent)
    delivery = channel.get(queue, no_ack=False)
    assert delivery is not None
    assert delivery.properties == sent
    reject(channel, delivery.tag, requeue=False)
    buried = got(channel, dead)
    assert buried.properties.expiration is None
    assert buried.headers["n"] == 1
    assert {name for name in buried.headers if not name.startswith("x-")} == {"n"}
    buried.properties.headers, buried.properties.expiration = sent.headers, sent.expiration
    assert buried.properties == sent


@pytest.mark.rule("5.11")
@pytest.mark.parametrize("mode", [None, 0, 1, 3, 255])
def test_only_delivery_mode_2_is_stored(mode: int | None) -> None:
    storage = SlowStorage()
    channel = confirm_select(World(storage=storage).channel())
    queue = channel.queue("q", durable=True)
    channel.publish(queue, b"transient", properties=Properties(delivery_mode=mode))
    channel.expect(BasicAck)
    channel.publish(queue, b"persistent", properties=Properties(delivery_mode=2))
    channel.expect_nothing()
    assert storage.stored == [b"persistent"]


TAGS: list[tuple[bytes, bytes, Value]] = [
    (b"t", b"\x01", True),
    (b"t", b"\x80", True),
    (b"t", b"\x00", False),
    (b"b", b"\xff", Int8(-1)),
    (b"B", b"\xff", UInt8(255)),
    (b"s", b"\xff\xfe", Int16(-2)),
    (b"u", b"\xff\xfe", UInt16(65534)),
    (b"I", b"\xff\xff\xff\xfd", Int32(-3)),
    (b"i", b"\xff\xff\xff\xfd", UInt32(4294967293)),
    (b"l", b"\xff\xff\xff\xff\xff\xff\xff\xfc", Int64(-4)),
    (b"L", b"\xff\xff\xff\xff\xff\xff\xff\xfb", Int64(-5)),
    (b"S", b"\x00\x00\x00\x02\xff\xfe", b"\xff\xfe"),
    (b"x", b"\x00\x00\x00\x02\x00\x01", ByteArray(b"\x00\x01")),
    (b"A", b"\x00\x00\x00\x04b\x01t\x01", [Int8(1), True]),
    (b"A", b"\x00\x00\x00\x00", []),
    (b"F", b"\x00\x00\x00\x07\x01kI\x00\x00\x00\x05", {"k": Int32(5)}),
    (b"F", b"\x00\x00\x00\x00", {}),
    (b"T", b"\x00\x00\x00\x00\x65\x00\x00\x01", Timestamp(0x65000001)),
    (b"T", b"\xff\xff\xff\xff\xff\xff\xff\xff", Timestamp(0xFFFFFFFFFFFFFFFF)),
    (b"D", b"\x02\x00\x00\x01\x3a", Decimal(2, 314)),
    (b"f", b"\x3f\xc0\x00\x00", Float32(1.5)),
    (b"d", b"\xbf\xf8\x00\x00\x00\x00\x00\x00", -1.5),
    (b"V", b"", None),
]
"""Tag, octets and what they mean (rule 5.12)."""


def table_octets(items: bytes) -> bytes:
    return struct.pack(">I", len(items)) + items


@pytest.mark.rule("5.12")
@pytest.mark.parametrize(("tag", "octets", "value"), TAGS)
def test_broker_reads_every_field_type(channel: ChannelClient, tag: bytes, octets: bytes, value: Value) -> None:
    """A headers exchange shows how the broker reads the value, and that it finds the one after it."""
    queue = channel.queue("q")
    bind(channel, queue, "amq.headers", arguments={"x-match": b"all", "value": value, "after": b"end"})
    items = b"\x05value" + tag + octets + b"\x05afterS\x00\x00\x00\x03end"
    publish_header(channel, "", 0x2000, table_octets(items), exchange="amq.headers")
    assert got(channel, queue).headers == {"value": value, "after": b"end"}


@pytest.mark.rule("5.12")
def test_int64_is_written_with_a_small_l(channel: ChannelClient) -> None:
    dead = channel.queue("dead")
    queue = channel.queue("q", arguments={"x-dead-letter-exchange": b"", "x-dead-letter-routing-key": b"dead"})
    channel.publish(queue, BODY)
    delivery = channel.get(queue, no_ack=False)
    assert delivery is not None
    reject(channel, delivery.tag, requeue=False)
    assert b"\x05countl\x00\x00\x00\x00\x00\x00\x00\x01" in got(channel, dead).header_raw


@pytest.mark.rule("5.13")
@pytest.mark.parametrize(("tag", "octets", "value"), [each for each in TAGS if each[0] != b"L"])
def test_every_field_type_comes_back_in_its_width(
    channel: ChannelClient, tag: bytes, octets: bytes, value: Value
) -> None:
    queue = channel.queue("q")
    nested = b"\x01nF" + table_octets(b"\x01v" + tag + octets)
    header = publish_header(channel, queue, 0x2000, table_octets(b"\x01v" + tag + octets + nested))
    assert got(channel, queue).header_raw == header


@pytest.mark.rule("5.13")
@pytest.mark.rule("5.13")
def test_large_l_comes_back_as_small_l(channel: ChannelClient) -> None:
    queue = channel.queue("q")
    publish_header(channel, queue, 0x2000, table_octets(b"\x01vL" + bytes(8)))
    assert got(channel, queue).header_raw.endswith(b"\x01vl" + bytes(8))


@pytest.mark.parametrize(("tag", "octets"), [(b"U", b"\x00\x01"), (b"y", b"\x01"), (b"\x00", b"")])
def test_field_types_rabbitmq_does_not_know_are_refused(channel: ChannelClient, tag: bytes, octets: bytes) -> None:
    publish_header(channel, channel.queue("q"), 0x2000, table_octets(b"\x01v" + tag + octets))
    channel.client.expect_close(501, "FRAME_ERROR - cannot decode properties")


@pytest.mark.rule("5.14")
def test_header_keys_keep_the_order_of_the_client(channel: ChannelClient) -> None:
    queue = channel.queue("q")
    channel.publish(queue, BODY, properties=Properties(headers={"z": 1, "a": 2, "m": 3}))
    assert list(got(channel, queue).headers) == ["z", "a", "m"]


@pytest.mark.rule("5.14")
def test_header_names_have_up_to_255_octets(channel: ChannelClient) -> None:
    queue = channel.queue("q")
    channel.publish(queue, BODY, properties=Properties(headers={"n" * 255: True}))
    assert got(channel, queue).headers == {"n" * 255: True}


def classes_in(value: Value) -> Iterable[type]:
    """The classes that stand for the tags of a table the broker has written."""
    yield type(value)
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for part in parts:
        yield from classes_in(part)


@pytest.mark.rule("5.15")
def test_tables_of_the_broker_have_few_field_types(world: World) -> None:
    client = world.client()
    channel = client.channel()
    channel.queue("dead")
    queue = quorum_queue(channel, "q", dead_letter_exchange=b"", dead_letter_routing_key=b"dead")
    channel.publish(queue, BODY, properties=Properties(expiration="90000"))
    for _ in range(2):
        returned = channel.get(queue, no_ack=False)
        assert returned is not None
        reject(channel, returned.tag)
    delivery = channel.get(queue, no_ack=False)
    assert delivery is not None
    assert {"x-acquired-count", "x-delivery-count"} <= delivery.headers.keys()
    reject(channel, delivery.tag, requeue=False)
    tables: list[Table] = [Client(world).begin().server_properties, delivery.headers, got(channel, "dead").headers]
    written = {class_ for table in tables for class_ in classes_in(table)}
    assert written <= {bytes, bool, Int32, Int64, Timestamp, list, dict}
    assert {bytes, bool, Int64, Timestamp, list, dict} <= written
