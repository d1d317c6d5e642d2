import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp import commands as pamqp_commands

from amqp_codec import (
    METHODS,
    BasicAck,
    BasicDeliver,
    BasicPublish,
    CodecError,
    ConnectionClose,
    ConnectionOpen,
    ConnectionStartOk,
    ExchangeDeclare,
    ExchangeUnbindOk,
    Int32,
    Method,
    QueueDeclare,
    QueueDeclareOk,
    QueueUnbindOk,
    ReplyCode,
    decode_method,
    encode_method_frame,
    encode_method_payload,
)
from tests.codec.codec_strategies import field_names, methods, with_types

LITERALS: list[tuple[Method, bytes]] = [
    (QueueUnbindOk(), b"\x00\x32\x00\x33"),
    (ExchangeUnbindOk(), b"\x00\x28\x00\x33"),
    (
        QueueDeclare(queue="q", durable=True, auto_delete=True, arguments={"x": Int32(1)}),
        b"\x00\x32\x00\x0a\x00\x00\x01q\x0a\x00\x00\x00\x07\x01xI\x00\x00\x00\x01",
    ),
    (
        QueueDeclareOk(queue="é", message_count=1, consumer_count=2),
        b"\x00\x32\x00\x0b\x02\xc3\xa9" + b"\0\0\0\1\0\0\0\2",
    ),
    (
        ExchangeDeclare(exchange="e", type="topic", passive=True, no_wait=True),
        b"\x00\x28\x00\x0a\x00\x00\x01e\x05topic\x11\x00\x00\x00\x00",
    ),
    (BasicAck(delivery_tag=1 << 40, multiple=True), b"\x00\x3c\x00\x50\x00\x00\x01\x00\x00\x00\x00\x00\x01"),
    (
        BasicDeliver(consumer_tag="c", delivery_tag=7, redelivered=True, exchange="", routing_key="k"),
        b"\x00\x3c\x00\x3c\x01c\x00\x00\x00\x00\x00\x00\x00\x07\x01\x00\x01k",
    ),
    (
        ConnectionStartOk(client_properties={}, mechanism="PLAIN", response=b"\0g\0g", locale="en"),
        b"\x00\x0a\x00\x0b\x00\x00\x00\x00\x05PLAIN\x00\x00\x00\x04\0g\0g\x02en",
    ),
    (
        ConnectionClose(reply_code=404, reply_text="x", failing_class_id=60, failing_method_id=40),
        b"\x00\x0a\x00\x32\x01\x94\x01x\x00\x3c\x00\x28",
    ),
]


@pytest.mark.rule("0.1")
@pytest.mark.parametrize(("method", "payload"), LITERALS, ids=lambda value: getattr(value, "name", ""))
def test_literal_payloads(method: Method, payload: bytes) -> None:
    assert encode_method_payload(method) == payload
    assert decode_method(payload) == method


def test_a_whole_frame() -> None:
    assert encode_method_frame(258, QueueUnbindOk()) == b"\x01\x01\x02\x00\x00\x00\x04\x00\x32\x00\x33\xce"


@pytest.mark.rule("0.1")
def test_every_method_of_the_specification_is_there_under_its_name() -> None:
    # pamqp 4 lacks class access, which 0-9-1 dropped and RabbitMQ still answers.
    theirs = {index: str(vars(class_)["name"]) for index, class_ in pamqp_commands.INDEX_MAPPING.items()}
    ours = {index: class_.__name__ for index, class_ in METHODS.items() if class_.class_id != 30}
    assert ours == {index: name.replace(".", "") for index, name in theirs.items()}
    assert {class_.name for class_ in METHODS.values() if class_.class_id == 30} == {
        "access.request",
        "access.request-ok",
    }


def test_names_are_spelled_as_in_the_specification() -> None:
    names = {class_.name for class_ in METHODS.values()}
    assert {
        "queue.declare",
        "queue.declare-ok",
        "basic.recover-async",
        "connection.update-secret-ok",
    } <= names
    assert len(names) == len(METHODS)


def test_methods_with_content() -> None:
    with_content = {class_.name for class_ in METHODS.values() if class_.has_content}
    assert with_content == {"basic.publish", "basic.return", "basic.deliver", "basic.get-ok"}


def test_tables_are_not_shared_between_methods() -> None:
    QueueDeclare().arguments["x"] = 1
    assert QueueDeclare().arguments == {}


def test_methods_have_slots_and_a_telling_repr() -> None:
    method = BasicAck(delivery_tag=3)
    assert repr(method) == "BasicAck(delivery_tag=3, multiple=False)"
    with pytest.raises(AttributeError):
        method.tag = 4  # type: ignore[attr-defined]


@given(methods)
def test_methods_come_back_with_their_types(method: Method) -> None:
    payload = encode_method_payload(method)
    decoded = decode_method(payload)
    assert decoded == method
    for name in field_names(type(method)):
        assert with_types(getattr(decoded, name)) == with_types(getattr(method, name))


def test_unused_bits_are_ignored() -> None:
    assert decode_method(b"\x00\x3c\x00\x50" + bytes(8) + b"\xfe") == BasicAck()


@pytest.mark.rule("1.52")
@pytest.mark.parametrize(("class_id", "method_id"), [(60, 41), (61, 40), (0, 0), (65535, 65535)])
def test_unknown_methods(class_id: int, method_id: int) -> None:
    with pytest.raises(CodecError) as caught:
        decode_method(class_id.to_bytes(2) + method_id.to_bytes(2))
    error = caught.value
    assert (error.reply_code, error.text) == (
        ReplyCode.COMMAND_INVALID,
        f"unknown method {class_id}.{method_id}",
    )
    assert (error.class_id, error.method_id) == (class_id, method_id)


@pytest.mark.rule("1.51", "0.6")
@given(methods, st.data())
def test_missing_or_trailing_octets(method: Method, data: st.DataObject) -> None:
    payload = encode_method_payload(method)
    cut = data.draw(st.integers(4, len(payload)))
    damaged = payload[:cut] if cut < len(payload) else payload + b"\0"
    with pytest.raises(CodecError) as caught:
        decode_method(damaged)
    error = caught.value
    assert (error.reply_code, error.text) == (ReplyCode.FRAME_ERROR, f"cannot decode {method.name}")
    assert (error.class_id, error.method_id) == (method.class_id, method.method_id)


@pytest.mark.rule("1.51")
def test_a_shortstr_must_be_utf8_where_there_is_no_content() -> None:
    payload = encode_method_payload(ConnectionOpen(virtual_host="\udcff"))
    with pytest.raises(CodecError, match="FRAME_ERROR - Malformed UTF-8 in shortstr") as caught:
        decode_method(payload)
    assert (caught.value.class_id, caught.value.method_id) == (10, 40)


@pytest.mark.rule("1.51")
def test_a_publish_is_not_checked_for_utf8() -> None:
    method = BasicPublish(exchange="\udcff", routing_key="\udcfe")
    payload = encode_method_payload(method)
    assert payload == b"\x00\x3c\x00\x28\x00\x00\x01\xff\x01\xfe\x00"
    assert decode_method(payload) == method


@pytest.mark.rule("1.52")
def test_an_unknown_tag_in_arguments() -> None:
    payload = b"\x00\x32\x00\x0a\x00\x00\x01q\x00\x00\x00\x00\x03\x01x?"
    with pytest.raises(CodecError, match=r"FRAME_ERROR - cannot decode queue\.declare"):
        decode_method(payload)


@pytest.mark.parametrize("payload", [b"", b"\x00\x3c\x00"])
def test_a_payload_without_ids(payload: bytes) -> None:
    with pytest.raises(CodecError, match="unknown_frame"):
        decode_method(payload)


@pytest.mark.parametrize(
    "method", [BasicAck(delivery_tag=1 << 64), BasicAck(delivery_tag=-1), QueueDeclare(queue="q" * 256)]
)
def test_what_does_not_fit_is_a_value_error(method: Method) -> None:
    with pytest.raises(ValueError, match=r"out of range|at most 255"):
        encode_method_payload(method)


@given(st.sampled_from(sorted(METHODS)), st.binary(max_size=40))
def test_any_octets_give_a_method_or_a_codec_error(index: int, arguments: bytes) -> None:
    try:
        method = decode_method(index.to_bytes(4) + arguments)
    except CodecError:
        return
    assert type(method) is METHODS[index]
