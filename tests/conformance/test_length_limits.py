import pytest

from amqp_codec import BasicNack, Properties, Table
from tests.support.client import ChannelClient
from tests.support.topology import (
    bind,
    confirming,
    exchange,
    expect_ack,
    expect_nack,
    got,
    queue_with,
    reject,
)

TO_DEAD: Table = {"x-dead-letter-exchange": b"", "x-dead-letter-routing-key": b"dead"}
BOTH_TYPES = pytest.mark.parametrize("queue_type", [b"classic", b"quorum"])


def limited(channel: ChannelClient, queue: str, queue_type: bytes = b"classic", **limits: object) -> str:
    """Declare `dead`, and a queue that sends its dead letters there; `max_length=2` is `x-max-length`."""
    channel.queue("dead")
    arguments: Table = {"x-queue-type": queue_type, **TO_DEAD}
    for name, value in limits.items():
        arguments[f"x-{name.replace('_', '-')}"] = value  # type: ignore[assignment]
    return queue_with(channel, queue, arguments, durable=True)


# Drop-head


@pytest.mark.rule("4.29")
@BOTH_TYPES
@pytest.mark.parametrize("overflow", [{}, {"overflow": b"drop-head"}])
def test_oldest_are_dropped_beyond_the_length(
    channel: ChannelClient, queue_type: bytes, overflow: dict[str, bytes]
) -> None:
    limited(channel, "q", queue_type, max_length=2, **overflow)
    confirming(channel)
    for number in range(1, 5):
        channel.publish("q", b"%d" % number)
        expect_ack(channel, number)
        assert channel.counts("q") == (min(number, 2), 0)
    letters = [got(channel, "dead"), got(channel, "dead")]
    assert [letter.body for letter in letters] == [b"1", b"2"]
    assert [letter.headers["x-first-death-reason"] for letter in letters] == [b"maxlen", b"maxlen"]
    assert channel.drain("q") == [b"3", b"4"]


@pytest.mark.rule("4.29")
@BOTH_TYPES
def test_oldest_are_dropped_beyond_the_sum_of_body_octets(channel: ChannelClient, queue_type: bytes) -> None:
    limited(channel, "q", queue_type, max_length_bytes=10)
    big_header = Properties(headers={"h": b"x" * 1000})
    channel.publish("q", b"1" * 4, properties=big_header)
    channel.publish("q", b"2" * 6)
    channel.publish("q", b"")
    assert channel.counts("q") == (3, 0)
    channel.publish("q", b"3")
    assert channel.counts("q") == (3, 0)
    channel.publish("q", b"4" * 10)
    assert channel.drain("dead") == [b"1" * 4, b"2" * 6, b"", b"3"]
    channel.publish("q", b"5" * 11)
    assert channel.drain("dead") == [b"4" * 10, b"5" * 11]
    assert channel.counts("q") == (0, 0)


@pytest.mark.rule("4.29")
def test_both_limits_hold(channel: ChannelClient) -> None:
    limited(channel, "q", max_length=3, max_length_bytes=6)
    channel.publish_all("q", b"1", b"2", b"3", b"4")
    assert channel.drain("dead") == [b"1"]
    channel.publish("q", b"55555")
    assert channel.drain("dead") == [b"2", b"3"]
    assert channel.drain("q") == [b"4", b"55555"]


@pytest.mark.rule("4.29")
@BOTH_TYPES
def test_unacked_messages_do_not_count(channel: ChannelClient, queue_type: bytes) -> None:
    limited(channel, "q", queue_type, max_length=2, max_length_bytes=2)
    channel.publish_all("q", b"1", b"2")
    got(channel, "q")
    got(channel, "q")
    channel.publish_all("q", b"3", b"4")
    assert channel.counts("q") == (2, 0)
    assert channel.drain("dead") == []


@pytest.mark.rule("4.29")
@BOTH_TYPES
@pytest.mark.parametrize("limit", [{"max_length": 0}, {"max_length_bytes": 0}])
def test_limit_0_works_only_if_a_consumer_waits(
    channel: ChannelClient, other: ChannelClient, queue_type: bytes, limit: dict[str, int]
) -> None:
    limited(channel, "q", queue_type, **limit)
    channel.publish("q", b"nobody waits")
    assert channel.counts("q") == (0, 0)
    assert channel.drain("dead") == [b"nobody waits"]
    other.consume("q")
    channel.publish_all("q", b"1", b"2")
    other.expect_bodies(b"1", b"2")
    assert channel.drain("dead") == []


@pytest.mark.rule("4.29")
def test_dropped_without_a_dead_letter_exchange_is_gone(channel: ChannelClient) -> None:
    queue_with(channel, "q", {"x-max-length": 1})
    channel.publish_all("q", b"1", b"2")
    assert channel.drain("q") == [b"2"]


# Reject-publish


@pytest.mark.rule("4.30")
@BOTH_TYPES
@pytest.mark.parametrize("limits", [{"max_length": 2}, {"max_length_bytes": 2}, {"max_length_bytes": 3}])
def test_publish_that_would_exceed_is_refused(
    channel: ChannelClient, queue_type: bytes, limits: dict[str, int]
) -> None:
    limited(channel, "q", queue_type, overflow=b"reject-publish", **limits)
    confirming(channel)
    channel.publish("q", b"1")
    expect_ack(channel, 1)
    channel.publish("q", b"2")
    expect_ack(channel, 2)
    channel.publish("q", b"33")
    expect_nack(channel, 3)
    got(channel, "q")
    channel.publish("q", b"4")
    expect_ack(channel, 4)
    assert channel.drain("q") == [b"2", b"4"]
    assert channel.drain("dead") == []


@pytest.mark.rule("4.30")
def test_without_confirms_what_is_refused_is_dropped_silently(channel: ChannelClient) -> None:
    limited(channel, "q", max_length=1, overflow=b"reject-publish")
    channel.publish("q", b"1")
    channel.publish("q", b"2", mandatory=True)
    channel.expect_nothing()
    assert channel.drain("q") == [b"1"]
    assert channel.drain("dead") == []


@pytest.mark.rule("4.30", "4.31")
@pytest.mark.parametrize("overflow", [b"reject-publish", b"reject-publish-dlx"])
@pytest.mark.parametrize("limit", ["x-max-length", "x-max-length-bytes"])
def test_refused_even_if_a_consumer_waits(
    channel: ChannelClient, other: ChannelClient, overflow: bytes, limit: str
) -> None:
    queue_with(channel, "q", {"x-overflow": overflow, limit: 0})
    other.consume("q")
    confirming(channel)
    channel.publish("q", b"1")
    expect_nack(channel, 1)
    other.expect_nothing()


@pytest.mark.rule("4.30", "6.7")
def test_one_refusal_nacks_the_publish_which_the_others_have(channel: ChannelClient) -> None:
    limited(channel, "full", max_length=0, overflow=b"reject-publish")
    exchange(channel, "x", "fanout")
    for queue in ("before", "full", "after"):
        if queue != "full":
            channel.queue(queue)
        bind(channel, queue, "x")
    confirming(channel)
    channel.publish("", b"1", exchange="x")
    expect_nack(channel, 1)
    assert channel.drain("before") == [b"1"]
    assert channel.drain("after") == [b"1"]
    assert channel.counts("full") == (0, 0)


@pytest.mark.rule("4.31")
def test_refused_message_is_dead_lettered_if_asked_for(channel: ChannelClient) -> None:
    limited(channel, "q", max_length=1, overflow=b"reject-publish-dlx")
    confirming(channel)
    channel.publish("q", b"1")
    expect_ack(channel, 1)
    channel.publish("q", b"2")
    expect_nack(channel, 2)
    letter = got(channel, "dead")
    assert letter.body == b"2"
    assert letter.headers["x-first-death-reason"] == b"maxlen"
    assert letter.headers["x-first-death-queue"] == b"q"
    assert channel.drain("q") == [b"1"]


@pytest.mark.rule("4.14", "4.31")
def test_reject_publish_dlx_drops_the_head_in_a_quorum_queue(channel: ChannelClient) -> None:
    limited(channel, "q", b"quorum", max_length=1, overflow=b"reject-publish-dlx")
    confirming(channel)
    channel.publish("q", b"1")
    expect_ack(channel, 1)
    channel.publish("q", b"2")
    expect_ack(channel, 2)
    assert channel.drain("q") == [b"2"]
    assert channel.drain("dead") == [b"1"]


# Requeue


@pytest.mark.rule("4.32")
def test_requeued_message_can_be_the_one_that_is_dropped(channel: ChannelClient) -> None:
    limited(channel, "q", max_length=2)
    channel.publish_all("q", b"1", b"2")
    first = got(channel, "q")
    channel.publish("q", b"3")
    reject(channel, first, requeue=True)
    assert channel.drain("dead") == [b"1"]
    assert channel.drain("q") == [b"2", b"3"]


@pytest.mark.rule("4.32")
def test_requeue_beyond_the_limit_drops_from_the_head(channel: ChannelClient) -> None:
    limited(channel, "q", max_length_bytes=3)
    channel.publish_all("q", b"1", b"2", b"3")
    taken = [got(channel, "q") for _ in range(3)]
    channel.publish_all("q", b"4", b"5")
    channel.send(BasicNack(delivery_tag=taken[2].tag, multiple=True, requeue=True))
    assert channel.drain("dead") == [b"1", b"2"]
    assert channel.drain("q") == [b"3", b"4", b"5"]


@pytest.mark.rule("4.32")
@pytest.mark.parametrize("overflow", [b"reject-publish", b"reject-publish-dlx"])
def test_requeue_beyond_the_limit_of_a_queue_that_refuses_drops_nothing(
    channel: ChannelClient, overflow: bytes
) -> None:
    limited(channel, "q", max_length=1, overflow=overflow)
    channel.publish("q", b"1")
    first = got(channel, "q")
    channel.publish("q", b"2")
    reject(channel, first, requeue=True)
    assert channel.drain("q") == [b"1", b"2"]
    assert channel.drain("dead") == []


@pytest.mark.rule("4.32")
def test_victim_in_a_priority_queue_is_the_oldest_of_the_highest_priority(channel: ChannelClient) -> None:
    limited(channel, "q", max_length=3, max_priority=5)
    for body, priority in ((b"low", 1), (b"high 1", 5), (b"high 2", 5), (b"low 2", 1), (b"lowest", 0)):
        channel.publish("q", body, properties=Properties(priority=priority))
    assert channel.drain("dead") == [b"high 1", b"high 2"]
    channel.publish("q", b"high 3", properties=Properties(priority=5))
    assert channel.drain("dead") == [b"high 3"]
    assert channel.drain("q") == [b"low", b"low 2", b"lowest"]


@pytest.mark.rule("4.33")
def test_quorum_queue_accepts_again_as_soon_as_there_is_room(channel: ChannelClient) -> None:
    limited(channel, "q", b"quorum", max_length=10, overflow=b"reject-publish")
    channel.publish_all("q", *(b"%d" % number for number in range(12)))
    assert channel.counts("q") == (10, 0)
    got(channel, "q")
    channel.publish("q", b"again")
    assert channel.drain("q")[-1] == b"again"
