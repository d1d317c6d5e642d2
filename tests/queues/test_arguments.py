import pytest

from amqp_broker.errors import AMQPError
from amqp_broker.queues.arguments import (
    KNOWN,
    Overflow,
    QueueOptions,
    QueueType,
    check_equivalent_arguments,
    parse_arguments,
)
from amqp_codec import Int8, Int64, Table, Value


def parsed(arguments: Table) -> QueueOptions:
    return parse_arguments(arguments, "q", "/")


def test_nothing_asked_for_is_a_classic_queue_without_limits() -> None:
    assert parsed({}) == QueueOptions()
    assert QueueOptions() == QueueOptions(
        type=QueueType.CLASSIC,
        expires_s=None,
        message_ttl_s=None,
        max_length=None,
        max_length_octets=None,
        overflow=Overflow.DROP_HEAD,
        dead_letter_exchange=None,
        dead_letter_routing_key=None,
        max_priority=None,
        single_active_consumer=False,
        delivery_limit=None,
    )


def test_arguments_become_options_in_the_units_of_the_model() -> None:
    arguments: Table = {
        "x-expires": 1500,
        "x-message-ttl": Int8(0),
        "x-max-length": Int64(7),
        "x-max-length-bytes": 8,
        "x-overflow": b"reject-publish-dlx",
        "x-dead-letter-exchange": b"dl\xc3\xa9\xff",
        "x-dead-letter-routing-key": b"",
        "x-max-priority": 9,
        "x-single-active-consumer": True,
    }
    assert parsed(arguments) == QueueOptions(
        expires_s=1.5,
        message_ttl_s=0.0,
        max_length=7,
        max_length_octets=8,
        overflow=Overflow.REJECT_PUBLISH_DLX,
        dead_letter_exchange="dlé\udcff",
        dead_letter_routing_key="",
        max_priority=9,
        single_active_consumer=True,
    )


@pytest.mark.rule("4.14", "4.46")
@pytest.mark.parametrize(
    ("value", "limit"), [(None, 20), (5, 5), (0, 0), (-1, None), (-7, None), (b"5", 20), (True, 20), (5.5, 20)]
)
def test_delivery_limit_is_whatever_it_can_be(value: Value, limit: int | None) -> None:
    arguments: Table = {"x-queue-type": b"quorum"}
    if value is not None:
        arguments["x-delivery-limit"] = value
    assert parsed(arguments).delivery_limit == limit


@pytest.mark.rule("4.14")
def test_quorum_queue_drops_the_head_where_classic_ones_dead_letter_the_newest() -> None:
    assert parsed({"x-queue-type": b"quorum", "x-overflow": b"reject-publish-dlx"}).overflow is Overflow.DROP_HEAD


@pytest.mark.rule("4.12")
def test_long_names_in_the_texts_are_told_whole() -> None:
    with pytest.raises(AMQPError) as caught:
        parse_arguments({"x-max-length": -1}, "ž" * 127, "vhost")
    assert caught.value.reply_text == (
        f"PRECONDITION_FAILED - invalid arg 'x-max-length' for queue '{'ž' * 127}' in vhost 'vhost': "
        "{value_negative,-1}"
    )


@pytest.mark.rule("4.11")
@pytest.mark.parametrize("queue_type", QueueType)
def test_every_argument_a_type_knows_is_compared(queue_type: QueueType) -> None:
    for key in KNOWN[queue_type]:
        text = f"inequivalent arg '{key}' for somewhere: received '8' but current is '7'"
        with pytest.raises(AMQPError, match=text):
            check_equivalent_arguments({key: 7}, {key: 8}, queue_type, "somewhere")
    for key in {key for known in KNOWN.values() for key in known} - KNOWN[queue_type].keys():
        check_equivalent_arguments({key: 7}, {key: 8}, queue_type, "somewhere")
