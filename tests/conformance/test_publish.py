"""Section 5a: publishing, what is checked in which order, and what comes back."""

from __future__ import annotations

import pytest

from amqp_broker.config import Config
from amqp_codec import BasicGetOk, BasicPublish, BasicReturn, Properties
from tests.support.client import ChannelClient, World
from tests.support.delivery import confirm_select, publish_closes_channel, publish_closes_connection
from tests.support.topology import bind, exchange

LIMIT = 10
TOO_LARGE = b"x" * (LIMIT + 1)

SIZE_TEXT = "PRECONDITION_FAILED - message size 11 is larger than configured max size 10"
EXCHANGE_TEXT = "NOT_FOUND - no exchange 'nowhere' in vhost '/'"
INTERNAL_TEXT = "ACCESS_REFUSED - cannot publish to internal exchange 'inner' in vhost '/'"
REPLY_TO_TEXT = "PRECONDITION_FAILED - fast reply consumer does not exist"
EXPIRATION_TEXT = "PRECONDITION_FAILED - invalid expiration 'soon': no_integer"
CC_TEXT = 'PRECONDITION_FAILED - invalid message: {unacceptable_type_in_header,"CC",signedint}'
USER_TEXT = "PRECONDITION_FAILED - user_id property set to 'nobody' but authenticated user was 'guest'"

FAULTS: list[tuple[str, int, str]] = [
    ("size", 406, SIZE_TEXT),
    ("exchange", 404, EXCHANGE_TEXT),
    ("internal", 403, INTERNAL_TEXT),
    ("reply_to", 406, REPLY_TO_TEXT),
    ("expiration", 406, EXPIRATION_TEXT),
    ("cc", 406, CC_TEXT),
    ("user_id", 406, USER_TEXT),
]
"""The checks of rule 5.1 that need no permissions, in its order."""


def publish_with(channel: ChannelClient, faults: set[str], *, immediate: bool = False) -> None:
    """Publish a message that has these faults and no other."""
    if "internal" in faults:
        exchange(channel, "inner", internal=True)
    target = "nowhere" if "exchange" in faults else "inner" if "internal" in faults else ""
    properties = Properties(
        reply_to="amq.rabbitmq.reply-to" if "reply_to" in faults else None,
        expiration="soon" if "expiration" in faults else None,
        headers={"CC": 1} if "cc" in faults else None,
        user_id="nobody" if "user_id" in faults else None,
    )
    body = TOO_LARGE if "size" in faults else b"x"
    channel.publish("q", body, exchange=target, properties=properties, immediate=immediate)


@pytest.fixture
def narrow() -> ChannelClient:
    """A channel of a broker that takes bodies of ten octets."""
    return World(Config(max_message_octets=LIMIT)).channel()


@pytest.mark.parametrize("at", range(len(FAULTS)), ids=[name for name, *_ in FAULTS])
def test_first_failed_check_is_reported_whatever_else_is_wrong(narrow: ChannelClient, at: int) -> None:
    name, code, text = FAULTS[at]
    wrong = {each for each, *_ in FAULTS[at:]}
    if name != "internal":
        wrong.discard("internal")  # a missing exchange can't be internal as well
    publish_with(narrow, wrong)
    publish_closes_channel(narrow, code, text)


def test_immediate_is_refused_before_all_other_checks(narrow: ChannelClient) -> None:
    publish_with(narrow, {name for name, *_ in FAULTS} - {"internal"}, immediate=True)
    publish_closes_connection(narrow, 540, "NOT_IMPLEMENTED - immediate=true")


@pytest.mark.rule("5.2")
def test_immediate_closes_the_connection_with_540(channel: ChannelClient, other: ChannelClient) -> None:
    queue = channel.queue("q")
    channel.publish(queue, b"a", immediate=True)
    publish_closes_connection(channel, 540, "NOT_IMPLEMENTED - immediate=true")
    assert other.counts(queue) == (0, 0)


@pytest.mark.rule("5.3")
def test_missing_exchange_closes_the_channel_with_404(channel: ChannelClient) -> None:
    channel.publish("q", b"a", exchange="nowhere")
    publish_closes_channel(channel, 404, EXCHANGE_TEXT)


@pytest.mark.rule("5.3")
@pytest.mark.parametrize("target", ["", "amq.direct", "amq.fanout", "amq.topic", "amq.headers"])
def test_unroutable_message_is_no_error(channel: ChannelClient, target: str) -> None:
    channel.publish("nowhere", b"a", exchange=target)
    channel.expect_nothing()
    channel.queue("still-open")


@pytest.mark.rule("5.4")
def test_mandatory_message_without_a_queue_comes_back_whole(channel: ChannelClient) -> None:
    properties = Properties(content_type="text/plain", headers={"CC": [b"a"], "BCC": [b"b"], "n": 1}, priority=3)
    channel.publish("nowhere", b"body", exchange="amq.topic", properties=properties, mandatory=True)
    returned = channel.expect_delivery(BasicReturn)
    assert returned.method == BasicReturn(
        reply_code=312, reply_text="NO_ROUTE", exchange="amq.topic", routing_key="nowhere"
    )
    assert returned.body == b"body"
    assert returned.properties == Properties(content_type="text/plain", headers={"CC": [b"a"], "n": 1}, priority=3)
    channel.expect_nothing()


@pytest.mark.rule("5.4")
def test_mandatory_message_of_several_frames_comes_back_whole(channel: ChannelClient) -> None:
    body = bytes(range(256)) * 1200
    channel.publish("nowhere", body, mandatory=True)
    assert channel.expect_delivery(BasicReturn).body == body


@pytest.mark.rule("5.4")
@pytest.mark.parametrize("overflow", [b"drop-head", b"reject-publish"])
def test_mandatory_message_that_its_queue_does_not_keep_is_not_returned(
    channel: ChannelClient, overflow: bytes
) -> None:
    queue = channel.queue("full", arguments={"x-max-length": 0, "x-overflow": overflow})
    channel.publish(queue, b"a", mandatory=True)
    channel.expect_nothing()
    assert channel.counts(queue) == (0, 0)


@pytest.mark.rule("5.4")
def test_mandatory_message_that_finds_a_queue_is_not_returned(channel: ChannelClient) -> None:
    queue = channel.queue("q")
    channel.publish(queue, b"a", mandatory=True)
    channel.expect_nothing()
    assert channel.drain(queue) == [b"a"]


@pytest.mark.rule("5.5", "5.3")
def test_message_of_the_largest_size_is_taken_and_one_octet_more_is_not(
    narrow: ChannelClient,
) -> None:
    queue = narrow.queue("q")
    narrow.publish(queue, TOO_LARGE[1:])
    assert narrow.drain(queue) == [TOO_LARGE[1:]]
    narrow.publish(queue, TOO_LARGE)
    publish_closes_channel(narrow, 406, SIZE_TEXT)
    assert narrow.client.channel(2).counts(queue) == (0, 0)


@pytest.mark.rule("5.5")
def test_default_limit_is_16_mib(channel: ChannelClient) -> None:
    limit = 16 * 1024 * 1024
    queue = channel.queue("q")
    channel.publish(queue, bytes(limit))
    assert channel.counts(queue) == (1, 0)
    channel.publish(queue, bytes(limit + 1))
    publish_closes_channel(
        channel, 406, f"PRECONDITION_FAILED - message size {limit + 1} is larger than configured max size {limit}"
    )


@pytest.mark.rule("5.5")
def test_too_large_body_is_read_to_its_end_before_it_is_refused(narrow: ChannelClient) -> None:
    octets = narrow.publish_octets(BasicPublish(routing_key="q"), TOO_LARGE)
    narrow.client.send_octets(octets[:-1])
    narrow.expect_nothing()
    narrow.client.send_octets(octets[-1:])
    publish_closes_channel(narrow, 406, SIZE_TEXT)


@pytest.mark.parametrize("claimed", ["nobody", "", "Guest"])
def test_user_id_of_somebody_else_closes_the_channel(channel: ChannelClient, claimed: str) -> None:
    queue = channel.queue("q")
    channel.publish(queue, b"a", properties=Properties(user_id=claimed))
    publish_closes_channel(
        channel, 406, f"PRECONDITION_FAILED - user_id property set to '{claimed}' but authenticated user was 'guest'"
    )
    assert channel.client.channel(2).counts(queue) == (0, 0)


def test_own_user_id_is_delivered(channel: ChannelClient) -> None:
    queue = channel.queue("q")
    channel.publish(queue, b"a", properties=Properties(user_id="guest"))
    delivery = channel.get(queue)
    assert delivery is not None
    assert delivery.properties.user_id == "guest"


@pytest.mark.rule("5.7")
def test_publishes_after_a_failed_one_are_discarded(channel: ChannelClient, other: ChannelClient) -> None:
    queue = channel.queue("q")
    confirm_select(channel)
    good, bad = BasicPublish(routing_key=queue), BasicPublish(exchange="nowhere", routing_key=queue)
    channel.client.send_octets(b"".join(channel.publish_octets(each, b"a") for each in (bad, good, good)))
    publish_closes_channel(channel, 404, EXCHANGE_TEXT)
    assert other.counts(queue) == (0, 0)


@pytest.mark.rule("5.7")
@pytest.mark.parametrize(
    "properties",
    [
        Properties(headers={"CC": [b"two"], "BCC": b"three"}),
        Properties(headers={"CC": [b"two"]}, user_id="nobody"),
        Properties(headers={"CC": [b"two"]}, expiration="-1"),
    ],
)
def test_refused_publish_reaches_none_of_its_queues(
    channel: ChannelClient, other: ChannelClient, properties: Properties
) -> None:
    for queue in ("one", "two"):
        bind(channel, channel.queue(queue), "amq.direct", queue)
    channel.publish("one", b"a", exchange="amq.direct", properties=properties)
    channel.expect_close(406)
    assert (other.counts("one"), other.counts("two")) == ((0, 0), (0, 0))


@pytest.mark.rule("5.7")
def test_publishes_before_a_failed_one_are_kept(channel: ChannelClient, other: ChannelClient) -> None:
    queue = channel.queue("q")
    good, bad = BasicPublish(routing_key=queue), BasicPublish(exchange="nowhere", routing_key=queue)
    channel.client.send_octets(channel.publish_octets(good, b"a") + channel.publish_octets(bad, b"b"))
    channel.expect_close(404, EXCHANGE_TEXT)
    assert other.drain(queue) == [b"a"]


def test_default_exchange_leads_to_the_queue_of_that_name(channel: ChannelClient) -> None:
    queue = channel.queue("by-name")
    channel.publish(queue, b"a")
    delivery = channel.get(queue)
    assert delivery is not None
    assert delivery.method == BasicGetOk(delivery_tag=1, exchange="", routing_key="by-name")
