"""Chapter 0: ids, frame types, reply codes and their texts."""

from __future__ import annotations

import struct

import pytest

from amqp_broker.errors import AMQPError, cut_reply_text
from amqp_broker.session import dispatch
from amqp_codec import (
    METHODS,
    AccessRequest,
    BasicConsume,
    BasicGet,
    BasicPublish,
    BasicQos,
    BasicReturn,
    ChannelClose,
    ChannelCloseOk,
    ChannelFlow,
    ConnectionCloseOk,
    ConnectionOpen,
    ExchangeDeclare,
    Method,
    QueueDeclare,
    QueueDelete,
    QueuePurge,
    ReplyCode,
    encode_frame,
    encode_method_payload,
)
from tests.support.client import ChannelClient, Client, World

IDS = {
    10: {
        "connection.start": 10,
        "connection.start-ok": 11,
        "connection.secure": 20,
        "connection.secure-ok": 21,
        "connection.tune": 30,
        "connection.tune-ok": 31,
        "connection.open": 40,
        "connection.open-ok": 41,
        "connection.close": 50,
        "connection.close-ok": 51,
        "connection.blocked": 60,
        "connection.unblocked": 61,
        "connection.update-secret": 70,
        "connection.update-secret-ok": 71,
    },
    20: {
        "channel.open": 10,
        "channel.open-ok": 11,
        "channel.flow": 20,
        "channel.flow-ok": 21,
        "channel.close": 40,
        "channel.close-ok": 41,
    },
    30: {"access.request": 10, "access.request-ok": 11},
    40: {
        "exchange.declare": 10,
        "exchange.declare-ok": 11,
        "exchange.delete": 20,
        "exchange.delete-ok": 21,
        "exchange.bind": 30,
        "exchange.bind-ok": 31,
        "exchange.unbind": 40,
        "exchange.unbind-ok": 51,
    },
    50: {
        "queue.declare": 10,
        "queue.declare-ok": 11,
        "queue.bind": 20,
        "queue.bind-ok": 21,
        "queue.purge": 30,
        "queue.purge-ok": 31,
        "queue.delete": 40,
        "queue.delete-ok": 41,
        "queue.unbind": 50,
        "queue.unbind-ok": 51,
    },
    60: {
        "basic.qos": 10,
        "basic.qos-ok": 11,
        "basic.consume": 20,
        "basic.consume-ok": 21,
        "basic.cancel": 30,
        "basic.cancel-ok": 31,
        "basic.publish": 40,
        "basic.return": 50,
        "basic.deliver": 60,
        "basic.get": 70,
        "basic.get-ok": 71,
        "basic.get-empty": 72,
        "basic.ack": 80,
        "basic.reject": 90,
        "basic.recover-async": 100,
        "basic.recover": 110,
        "basic.recover-ok": 111,
        "basic.nack": 120,
    },
    85: {"confirm.select": 10, "confirm.select-ok": 11},
    90: {
        "tx.select": 10,
        "tx.select-ok": 11,
        "tx.commit": 20,
        "tx.commit-ok": 21,
        "tx.rollback": 30,
        "tx.rollback-ok": 31,
    },
}

CODES = {
    "REPLY_SUCCESS": 200,
    "CONTENT_TOO_LARGE": 311,
    "NO_ROUTE": 312,
    "NO_CONSUMERS": 313,
    "CONNECTION_FORCED": 320,
    "INVALID_PATH": 402,
    "ACCESS_REFUSED": 403,
    "NOT_FOUND": 404,
    "RESOURCE_LOCKED": 405,
    "PRECONDITION_FAILED": 406,
    "FRAME_ERROR": 501,
    "SYNTAX_ERROR": 502,
    "COMMAND_INVALID": 503,
    "CHANNEL_ERROR": 504,
    "UNEXPECTED_FRAME": 505,
    "RESOURCE_ERROR": 506,
    "NOT_ALLOWED": 530,
    "NOT_IMPLEMENTED": 540,
    "INTERNAL_ERROR": 541,
}
SOFT = {200, 311, 312, 313, 403, 404, 405, 406}


def cut_frames(octets: bytes) -> list[tuple[int, int, bytes]]:
    """Type, channel and payload of each frame, read without the codec."""
    frames = []
    while octets:
        kind, channel, size = struct.unpack_from(">BHI", octets)
        frames.append((kind, channel, octets[7 : 7 + size]))
        assert octets[7 + size] == 0xCE
        octets = octets[8 + size :]
    return frames


@pytest.mark.rule("0.1")
def test_every_method_has_its_ids() -> None:
    expected = {(class_id, number): name for class_id, names in IDS.items() for name, number in names.items()}
    assert {(index >> 16, index & 0xFFFF): method.name for index, method in METHODS.items()} == expected


@pytest.mark.rule("0.2", "0.1")
def test_a_delivery_is_a_method_a_header_and_a_body_frame(channel: ChannelClient) -> None:
    channel.queue("q")
    channel.consume("q")
    client = channel.client
    before = len(client.raw)
    channel.publish("q", b"hello")
    method, header, body = cut_frames(bytes(client.raw[before:]))
    assert method == (1, 1, b"\x00\x3c\x00\x3c\x01c" + bytes(7) + b"\x01\x00" + b"\x00\x01q")
    assert header == (2, 1, b"\x00\x3c\x00\x00" + bytes(7) + b"\x05\x00\x00")
    assert body == (3, 1, b"hello")


@pytest.mark.rule("0.2")
def test_a_heartbeat_is_an_empty_frame_of_type_8_on_channel_0(world: World) -> None:
    client = Client(world)
    client.open(heartbeat=10)
    before = len(client.raw)
    world.advance(5)
    client.pump()
    assert client.raw[before:] == b"\x08\x00\x00\x00\x00\x00\x00\xce"


@pytest.mark.rule("0.3", "0.4", "0.6")
@pytest.mark.parametrize(
    ("method", "code", "text", "ids"),
    [
        (QueuePurge(queue="q"), 404, "NOT_FOUND - no queue 'q' in vhost '/'", (50, 30)),
        (QueueDeclare(queue="é", passive=True), 404, "NOT_FOUND - no queue 'é' in vhost '/'", (50, 10)),
        (ExchangeDeclare(exchange="x", passive=True), 404, "NOT_FOUND - no exchange 'x' in vhost '/'", (40, 10)),
        (BasicGet(queue="q"), 404, "NOT_FOUND - no queue 'q' in vhost '/'", (60, 70)),
        (BasicConsume(queue="日本"), 404, "NOT_FOUND - no queue '日本' in vhost '/'", (60, 20)),
        (
            QueueDeclare(queue="amq.q"),
            403,
            "ACCESS_REFUSED - queue name 'amq.q' contains reserved prefix 'amq.*'",
            (50, 10),
        ),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_a_text_is_the_name_of_its_code_and_an_explanation(
    channel: ChannelClient, method: Method, code: int, text: str, ids: tuple[int, int]
) -> None:
    channel.send(method)
    close = channel.expect_close(code, text)
    assert (close.failing_class_id, close.failing_method_id) == ids


@pytest.mark.rule("0.3")
@pytest.mark.parametrize("name", ["q" * 255, "é" * 127, "x" + "é" * 127, "日" * 85, "🐇" * 63])
def test_a_long_text_is_cut_between_characters(channel: ChannelClient, name: str) -> None:
    channel.send(QueuePurge(queue=name))
    text = channel.expect_close(404).reply_text
    whole = f"NOT_FOUND - no queue '{name}' in vhost '/'"
    assert whole.startswith(text)
    assert 255 - 3 <= len(text.encode()) <= 255


@pytest.mark.rule("0.3")
def test_a_name_that_is_not_utf8_does_not_break_the_text(channel: ChannelClient) -> None:
    channel.publish("k", exchange="x\udcff")
    close = channel.expect_close(404, "NOT_FOUND - no exchange 'x?' in vhost '/'")
    assert (close.failing_class_id, close.failing_method_id) == (60, 40)


def test_the_log_has_one_printable_line_whatever_the_name(
    channel: ChannelClient, caplog: pytest.LogCaptureFixture
) -> None:
    channel.publish("k", exchange="x\udcff\n2026-01-01 ERROR \x1b[2Jé")
    channel.expect_close(404)
    (line,) = caplog.messages
    assert line == (
        "connection 127.0.0.1:50000, channel 1: "
        "NOT_FOUND - no exchange 'x\\udcff\\n2026-01-01 ERROR \\x1b[2Jé' in vhost '/'"
    )


@pytest.mark.rule("0.3")
def test_a_text_of_255_octets_is_not_cut() -> None:
    assert cut_reply_text("é" * 127 + "x") == "é" * 127 + "x"
    assert cut_reply_text("é" * 128) == "é" * 127


@pytest.mark.rule("0.5")
def test_codes_have_their_names_and_levels() -> None:
    assert {code.name: code.value for code in ReplyCode} == CODES
    assert {code.value for code in ReplyCode if not code.is_hard} == SOFT


@pytest.mark.rule("0.5")
@pytest.mark.parametrize("code", [code for code in ReplyCode if code != 200], ids=lambda code: code.name)
def test_the_code_decides_what_is_closed(
    channel: ChannelClient, other: ChannelClient, code: ReplyCode, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_channel: object, _method: object) -> None:
        raise AMQPError(code, "why")

    monkeypatch.setitem(dispatch.HANDLERS, BasicQos, fail)
    channel.send(BasicQos())
    if code in SOFT:
        close = channel.expect_close(code, f"{code.name} - why")
        assert (close.failing_class_id, close.failing_method_id) == (60, 10)
        channel.client.channel(1)
    else:
        hard = channel.client.expect_close(code, f"{code.name} - why")
        assert (hard.failing_class_id, hard.failing_method_id) == (60, 10)
    other.queue("unharmed")


@pytest.mark.rule("0.5")
def test_no_route_stands_only_in_basic_return(channel: ChannelClient) -> None:
    channel.publish("nowhere", b"x", mandatory=True)
    delivery = channel.expect_delivery(BasicReturn)
    assert delivery.method == BasicReturn(reply_code=312, reply_text="NO_ROUTE", exchange="", routing_key="nowhere")
    channel.expect_nothing()


@pytest.mark.rule("0.5", "0.6")
def test_codes_and_ids_of_ordinary_errors(world: World) -> None:
    first, second = world.channel(), world.channel()
    first.queue("mine", exclusive=True)
    second.send(QueueDelete(queue="mine"))
    locked = second.expect_close(
        405,
        "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'mine' in vhost '/'. It could be "
        "originally declared on another connection or the exclusive property value does not match that of the "
        "original declaration.",
    )
    assert (locked.failing_class_id, locked.failing_method_id) == (50, 40)
    third = world.channel()
    third.queue("q")
    third.send(QueueDeclare(queue="q", durable=True))
    third.expect_close(
        406,
        "PRECONDITION_FAILED - inequivalent arg 'durable' for queue 'q' in vhost '/': received 'true' but current "
        "is 'false'",
    )
    fourth = world.channel()
    fourth.publish("q", immediate=True)
    refused = fourth.client.expect_close(540, "NOT_IMPLEMENTED - immediate=true")
    assert (refused.failing_class_id, refused.failing_method_id) == (60, 40)
    fifth = world.channel()
    fifth.send(BasicQos(prefetch_size=1))
    fifth.client.expect_close(540, "NOT_IMPLEMENTED - prefetch_size!=0 (1)")


@pytest.mark.rule("0.5")
def test_a_crash_is_an_internal_error_of_that_connection_only(
    channel: ChannelClient,
    other: ChannelClient,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def crash(_channel: object, _method: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setitem(dispatch.HANDLERS, AccessRequest, crash)
    channel.send(AccessRequest())
    close = channel.client.expect_close(541, "INTERNAL_ERROR - internal error")
    assert (close.failing_class_id, close.failing_method_id) == (30, 10)
    assert any(record.exc_info and record.exc_info[0] is ZeroDivisionError for record in caplog.records)
    other.queue("unharmed")


@pytest.mark.rule("0.6")
def test_ids_are_0_where_no_method_is_known(client: Client) -> None:
    client.send_octets(encode_frame(3, 1, b"x"))
    close = client.expect_close(505, "UNEXPECTED_FRAME - expected method frame, got non method frame instead")
    assert (close.failing_class_id, close.failing_method_id) == (0, 0)


@pytest.mark.rule("0.6")
def test_ids_of_a_publish_whose_content_is_wrong(channel: ChannelClient) -> None:
    publish = encode_frame(1, 1, encode_method_payload(BasicPublish(routing_key="k")))
    channel.client.send_octets(publish + encode_frame(3, 1, b""))
    close = channel.client.expect_close(505)
    assert (close.failing_class_id, close.failing_method_id) == (60, 40)


@pytest.mark.rule("0.6")
def test_any_error_on_channel_0_closes_the_connection(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_method: object) -> None:
        raise AMQPError(ReplyCode.NOT_FOUND, "soft elsewhere")

    monkeypatch.setattr(client.connection, "_on_control", refuse)
    client.send(0, ConnectionOpen())
    close = client.expect_close(404, "NOT_FOUND - soft elsewhere")
    assert (close.failing_class_id, close.failing_method_id) == (10, 40)
    monkeypatch.undo()
    client.send(0, ConnectionCloseOk())
    client.expect_finished()


@pytest.mark.rule("0.6")
def test_a_close_of_either_kind_names_the_method(channel: ChannelClient) -> None:
    channel.send(QueueDelete())
    first = channel.expect(ChannelClose)
    assert first == ChannelClose(
        reply_code=404,
        reply_text="NOT_FOUND - no previously declared queue",
        failing_class_id=50,
        failing_method_id=40,
    )
    channel.send(ChannelCloseOk())
    again = channel.client.channel(1)
    again.send(ChannelFlow(active=False))
    close = channel.client.expect_close(540, "NOT_IMPLEMENTED - active=false")
    assert (close.failing_class_id, close.failing_method_id) == (20, 20)
