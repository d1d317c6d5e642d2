"""What values the arguments of a queue may have: codes and whole texts (rules 4.12 to 4.17)."""

import pytest

from amqp_codec import (
    ByteArray,
    Float32,
    Int8,
    Int64,
    QueueDeclare,
    QueueDeclareOk,
    Table,
    UInt8,
    UInt16,
    UInt32,
    Value,
)
from tests.support.client import ChannelClient
from tests.support.topology import has_queue, queue_with, refused

TYPES = ["classic", "quorum"]
ERLANG = {
    "classic": "rabbit_classic_queue",
    "quorum": "rabbit_quorum_queue",
    "stream": "rabbit_stream_queue",
}

COMMON: list[tuple[str, Value]] = [
    ("x-expires", 1),
    ("x-expires", UInt32(60_000)),
    ("x-expires", 315_360_000_000),
    ("x-message-ttl", 0),
    ("x-message-ttl", Int8(5)),
    ("x-message-ttl", 315_360_000_000),
    ("x-max-length", 0),
    ("x-max-length", UInt16(7)),
    ("x-max-length", 2**40),
    ("x-max-length-bytes", 0),
    ("x-max-length-bytes", Int64(2**40)),
    ("x-overflow", b"drop-head"),
    ("x-overflow", b"reject-publish"),
    ("x-overflow", b"reject-publish-dlx"),
    ("x-dead-letter-exchange", b""),
    ("x-dead-letter-exchange", b"missing"),
    ("x-single-active-consumer", True),
    ("x-single-active-consumer", False),
    ("x-queue-leader-locator", b"client-local"),
    ("x-queue-leader-locator", b"balanced"),
    ("x-queue-leader-locator", b"random"),
    ("x-queue-leader-locator", b"least-leaders"),
    ("x-queue-leader-locator", b"min-masters"),
    ("x-whatever", b"else"),
]
GOOD: list[tuple[str, str, Value]] = [
    *((queue_type, key, value) for queue_type in TYPES for key, value in COMMON),
    ("classic", "x-max-priority", 0),
    ("classic", "x-max-priority", UInt8(255)),
    ("classic", "x-queue-mode", b"lazy"),
    ("classic", "x-queue-mode", 17),
    ("classic", "x-queue-version", 1),
    ("classic", "x-queue-version", 2),
    ("classic", "x-queue-master-locator", b"min-masters"),
    ("quorum", "x-dead-letter-strategy", b"at-most-once"),
    ("quorum", "x-dead-letter-strategy", b"at-least-once"),
    ("quorum", "x-delivery-limit", -1),
    ("quorum", "x-delivery-limit", 0),
    ("quorum", "x-delivery-limit", b"not validated"),
    ("quorum", "x-quorum-initial-group-size", 1),
    ("quorum", "x-max-in-memory-length", 0),
    ("quorum", "x-max-in-memory-bytes", 0),
    ("quorum", "x-consumer-timeout", 0),
    ("quorum", "x-consumer-disconnected-timeout", 1),
    ("quorum", "x-delayed-retry-type", b"disabled"),
    ("quorum", "x-delayed-retry-type", b"all"),
    ("quorum", "x-delayed-retry-min", 0),
    ("quorum", "x-delayed-retry-max", 1),
    ("quorum", "x-member-placement-tag", b"a"),
]

STREAM_GOOD: list[tuple[str, Value]] = [
    ("x-max-length-bytes", 0),
    ("x-max-age", b"7D"),
    ("x-max-age", b"10s"),
    ("x-max-age", b"1Y"),
    ("x-max-age", b"1M"),
    ("x-max-age", b"1h"),
    ("x-max-age", b"1m"),
    ("x-stream-max-segment-size-bytes", 3_000_000_000),
    ("x-stream-filter-size-bytes", 16),
    ("x-stream-filter-size-bytes", 255),
    ("x-initial-cluster-size", 1),
    ("x-queue-leader-locator", b"balanced"),
]


def not_an_integer(kind: str) -> str:
    return f'"expected integer, got {kind}"'


def unacceptable(kind: str) -> str:
    return f"{{unacceptable_type,{kind}}}"


BAD_IN_COMMON: list[tuple[str, Value, str]] = [
    ("x-expires", 0, "{value_zero,0}"),
    ("x-expires", -5, "{value_negative,-5}"),
    ("x-expires", 315_360_000_001, "{value_too_large,315360000001}"),
    ("x-expires", b"1000", not_an_integer("longstr")),
    ("x-message-ttl", -1, "{value_negative,-1}"),
    ("x-message-ttl", 315_360_000_001, "{value_too_large,315360000001}"),
    ("x-message-ttl", b"1000", not_an_integer("longstr")),
    ("x-message-ttl", 1.5, not_an_integer("double")),
    ("x-message-ttl", Float32(1.5), not_an_integer("float")),
    ("x-message-ttl", True, not_an_integer("bool")),
    ("x-message-ttl", None, not_an_integer("void")),
    ("x-max-length", -1, "{value_negative,-1}"),
    ("x-max-length", b"1", not_an_integer("longstr")),
    ("x-max-length", [1], not_an_integer("array")),
    ("x-max-length-bytes", Int8(-128), "{value_negative,-128}"),
    ("x-max-length-bytes", {"a": 1}, not_an_integer("table")),
    ("x-overflow", b"drop-tail", "invalid_overflow"),
    ("x-overflow", b"", "invalid_overflow"),
    ("x-overflow", 1, unacceptable("signedint")),
    ("x-dead-letter-exchange", 1, unacceptable("signedint")),
    ("x-dead-letter-exchange", True, unacceptable("bool")),
    ("x-dead-letter-exchange", ByteArray(b"dlx"), unacceptable("binary")),
    ("x-dead-letter-routing-key", b"k", "routing_key_but_no_dlx_defined"),
    ("x-dead-letter-routing-key", 1, unacceptable("signedint")),
    ("x-single-active-consumer", b"true", unacceptable("longstr")),
    ("x-single-active-consumer", 1, unacceptable("signedint")),
    ("x-queue-leader-locator", b"nowhere", "invalid_queue_locator_arg"),
    ("x-queue-leader-locator", 1, unacceptable("signedint")),
]
BAD: list[tuple[str, str, Value, str]] = [
    *((queue_type, *case) for queue_type in TYPES for case in BAD_IN_COMMON),
    ("classic", "x-max-priority", 256, "{max_value_exceeded,256}"),
    ("classic", "x-max-priority", 300, "{max_value_exceeded,300}"),
    ("classic", "x-max-priority", -1, "{value_negative,-1}"),
    ("classic", "x-max-priority", b"10", not_an_integer("longstr")),
    ("classic", "x-queue-version", 3, "\"unsupported queue version '3'\""),
    ("classic", "x-queue-version", 0, "\"unsupported queue version '0'\""),
    ("classic", "x-queue-version", -1, "{value_negative,-1}"),
    ("classic", "x-queue-version", b"2", not_an_integer("longstr")),
    ("quorum", "x-dead-letter-strategy", b"exactly-once", "invalid_dlx_strategy"),
    ("quorum", "x-dead-letter-strategy", 1, unacceptable("signedint")),
    ("quorum", "x-quorum-initial-group-size", 0, "{value_zero,0}"),
    ("quorum", "x-quorum-initial-group-size", -1, "{value_negative,-1}"),
    ("quorum", "x-quorum-initial-group-size", b"3", not_an_integer("longstr")),
    ("quorum", "x-max-in-memory-length", -1, "{value_negative,-1}"),
    ("quorum", "x-max-in-memory-bytes", -1, "{value_negative,-1}"),
    ("quorum", "x-consumer-timeout", -1, "{value_negative,-1}"),
    ("quorum", "x-consumer-disconnected-timeout", b"1", not_an_integer("longstr")),
    ("quorum", "x-delayed-retry-min", -1, "{value_negative,-1}"),
    ("stream", "x-max-length-bytes", -1, "{value_negative,-1}"),
    ("stream", "x-max-age", b"7", "invalid_max_age"),
    ("stream", "x-max-age", b"D", "invalid_max_age"),
    ("stream", "x-max-age", b"7d", "invalid_max_age"),
    ("stream", "x-max-age", b"0D", "invalid_max_age"),
    ("stream", "x-max-age", b"-1D", "invalid_max_age"),
    ("stream", "x-max-age", 7, unacceptable("signedint")),
    ("stream", "x-stream-max-segment-size-bytes", -1, "{value_negative,-1}"),
    ("stream", "x-stream-filter-size-bytes", b"20", not_an_integer("longstr")),
    ("stream", "x-initial-cluster-size", 0, "{value_zero,0}"),
]

OF_ANOTHER_TYPE = [
    ("classic", "x-delivery-limit", 3),
    ("classic", "x-dead-letter-strategy", b"at-most-once"),
    ("classic", "x-quorum-initial-group-size", 3),
    ("classic", "x-max-in-memory-length", 3),
    ("classic", "x-max-in-memory-bytes", 3),
    ("classic", "x-consumer-timeout", 3),
    ("classic", "x-delayed-retry-type", b"all"),
    ("classic", "x-member-placement-tag", b"a"),
    ("classic", "x-max-age", b"7D"),
    ("classic", "x-stream-max-segment-size-bytes", 3),
    ("classic", "x-stream-filter-size-bytes", 20),
    ("classic", "x-initial-cluster-size", 3),
    ("quorum", "x-max-priority", 3),
    ("quorum", "x-queue-mode", b"lazy"),
    ("quorum", "x-queue-version", 2),
    ("quorum", "x-queue-master-locator", b"min-masters"),
    ("quorum", "x-max-age", b"7D"),
    ("quorum", "x-initial-cluster-size", 3),
    ("stream", "x-expires", 3),
    ("stream", "x-message-ttl", 3),
    ("stream", "x-max-length", 3),
    ("stream", "x-overflow", b"drop-head"),
    ("stream", "x-dead-letter-exchange", b"dlx"),
    ("stream", "x-dead-letter-routing-key", b"k"),
    ("stream", "x-single-active-consumer", True),
    ("stream", "x-max-priority", 3),
    ("stream", "x-delivery-limit", 3),
]


def declare(queue_type: str, key: str, value: Value) -> QueueDeclare:
    arguments: Table = {"x-queue-type": queue_type.encode(), key: value}
    return QueueDeclare(queue="q", durable=True, arguments=arguments)


@pytest.mark.rule("4.14")
@pytest.mark.parametrize(("queue_type", "key", "value"), GOOD)
def test_good_value_is_accepted(channel: ChannelClient, queue_type: str, key: str, value: Value) -> None:
    for _ in range(2):
        channel.call(declare(queue_type, key, value), QueueDeclareOk)


@pytest.mark.rule("4.12", "4.13", "4.14")
@pytest.mark.parametrize(("queue_type", "key", "value", "detail"), BAD)
def test_bad_value_is_refused_with_its_detail(
    channel: ChannelClient, queue_type: str, key: str, value: Value, detail: str
) -> None:
    text = f"PRECONDITION_FAILED - invalid arg '{key}' for queue 'q' in vhost '/': {detail}"
    refused(channel, declare(queue_type, key, value), 406, text)
    assert not has_queue(channel, "q")


@pytest.mark.rule("4.12", "4.14")
@pytest.mark.parametrize(("queue_type", "key", "value"), OF_ANOTHER_TYPE)
def test_argument_of_another_type_is_refused(channel: ChannelClient, queue_type: str, key: str, value: Value) -> None:
    text = f"PRECONDITION_FAILED - invalid arg '{key}' for queue 'q' in vhost '/' of queue type {ERLANG[queue_type]}"
    refused(channel, declare(queue_type, key, value), 406, text)
    assert not has_queue(channel, "q")


@pytest.mark.rule("4.13", "4.14")
@pytest.mark.parametrize(
    ("value", "detail"),
    [
        (b"nope", "\"unsupported queue type 'nope'\""),
        (b"Quorum", "\"unsupported queue type 'Quorum'\""),
        (1, "{unacceptable_type,signedint}"),
        (True, "{unacceptable_type,bool}"),
    ],
)
def test_other_queue_types_are_refused(channel: ChannelClient, value: Value, detail: str) -> None:
    method = QueueDeclare(queue="q", durable=True, arguments={"x-queue-type": value})
    text = f"PRECONDITION_FAILED - invalid arg 'x-queue-type' for queue 'q' in vhost '/': {detail}"
    refused(channel, method, 406, text)


@pytest.mark.rule("4.14")
def test_empty_queue_type_is_the_default(channel: ChannelClient) -> None:
    queue_with(channel, "q", {"x-queue-type": b"", "x-max-priority": 3})


@pytest.mark.rule("4.14")
@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("x-stream-max-segment-size-bytes", 3_000_000_001, "Exceeded max value for x-stream-max-segment-size-bytes"),
        ("x-stream-filter-size-bytes", 15, "Invalid value for x-stream-filter-size-bytes"),
        ("x-stream-filter-size-bytes", 256, "Invalid value for x-stream-filter-size-bytes"),
        ("x-stream-filter-size-bytes", 0, "Invalid value for x-stream-filter-size-bytes"),
    ],
)
def test_sizes_of_streams_have_limits(channel: ChannelClient, key: str, value: int, text: str) -> None:
    refused(channel, declare("stream", key, value), 406, f"PRECONDITION_FAILED - {text}")


@pytest.mark.rule("4.14")
@pytest.mark.parametrize(("key", "value"), STREAM_GOOD)
def test_stream_takes_its_arguments(channel: ChannelClient, key: str, value: Value) -> None:
    queue_with(channel, "q", {"x-queue-type": b"stream", key: value}, durable=True)


@pytest.mark.rule("4.14")
def test_dead_letter_routing_key_goes_with_the_exchange(channel: ChannelClient) -> None:
    queue_with(channel, "q", {"x-dead-letter-routing-key": b"k", "x-dead-letter-exchange": b""})
    text = (
        "PRECONDITION_FAILED - invalid arg 'x-dead-letter-routing-key' for queue 'r' in vhost '/': "
        "{unacceptable_type,signedint}"
    )
    both: Table = {"x-dead-letter-exchange": b"", "x-dead-letter-routing-key": 1}
    refused(channel, QueueDeclare(queue="r", arguments=both), 406, text)


@pytest.mark.rule("4.17")
@pytest.mark.parametrize("queue_type", [b"quorum", b"stream"])
@pytest.mark.parametrize(
    ("flags", "wrong"),
    [
        ({}, "non-durable"),
        ({"exclusive": True}, "exclusive-owner"),
        ({"durable": True, "exclusive": True}, "exclusive-owner"),
        ({"durable": True, "auto_delete": True}, "auto-delete"),
        ({"auto_delete": True}, "auto-delete"),
        ({"exclusive": True, "auto_delete": True}, "auto-delete"),
    ],
)
def test_quorum_queues_and_streams_are_durable_shared_and_stay(
    channel: ChannelClient, queue_type: bytes, flags: dict[str, bool], wrong: str
) -> None:
    arguments: Table = {"x-queue-type": queue_type}
    method = QueueDeclare(queue="q", arguments=arguments, **flags)
    text = f"PRECONDITION_FAILED - invalid property '{wrong}' for queue 'q' in vhost '/'"
    refused(channel, method, 406, text)
    assert not has_queue(channel, "q")
