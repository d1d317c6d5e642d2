"""Section 5h: further routing keys in the headers CC and BCC."""

from __future__ import annotations

import pytest

from amqp_codec import (
    BasicGetOk,
    BasicReturn,
    ByteArray,
    Int8,
    Properties,
    Table,
    TxCommit,
    TxCommitOk,
    Value,
)
from tests.support.client import ChannelClient
from tests.support.delivery import publish_closes_channel, reject, tx_select
from tests.support.topology import bind, exchange

QUEUES = ("one", "two", "three")


def headers(table: Table) -> Properties:
    return Properties(headers=table)


@pytest.fixture
def sender(channel: ChannelClient) -> ChannelClient:
    """A channel in a vhost with the queues one, two and three."""
    for queue in QUEUES:
        channel.queue(queue)
    return channel


def copies(channel: ChannelClient) -> tuple[int, ...]:
    """How many messages each of the three queues has."""
    return tuple(channel.counts(queue)[0] for queue in QUEUES)


@pytest.mark.rule("5.53")
@pytest.mark.parametrize("kind", ["default", "direct", "topic"])
@pytest.mark.parametrize("header", ["CC", "BCC"])
def test_copies_go_to_the_further_keys(sender: ChannelClient, kind: str, header: str) -> None:
    source = "" if kind == "default" else exchange(sender, "x", kind)
    if source:
        for queue in QUEUES:
            bind(sender, queue, source, queue)
    sender.publish("one", b"a", exchange=source, properties=headers({header: [b"two", b"nowhere", b"three"]}))
    assert copies(sender) == (1, 1, 1)


@pytest.mark.rule("5.53")
def test_both_headers_add_keys_to_the_routing_key(sender: ChannelClient) -> None:
    sender.publish("one", b"a", properties=headers({"CC": [b"two"], "BCC": [b"three"]}))
    assert copies(sender) == (1, 1, 1)


@pytest.mark.rule("5.53")
def test_copies_reach_a_queue_when_the_routing_key_does_not(sender: ChannelClient) -> None:
    sender.publish("nowhere", b"a", properties=headers({"CC": [b"two"]}), mandatory=True)
    sender.expect_nothing()
    assert copies(sender) == (0, 1, 0)


@pytest.mark.rule("5.53")
@pytest.mark.parametrize("skipped", [1, None, True, {}, [b"three"], ByteArray(b"three"), 1.5])
@pytest.mark.parametrize("header", ["CC", "BCC"])
def test_elements_that_are_no_longstr_are_skipped(sender: ChannelClient, header: str, skipped: Value) -> None:
    sender.publish("one", b"a", properties=headers({header: [skipped, b"two", skipped]}))
    assert copies(sender) == (1, 1, 0)


@pytest.mark.rule("5.53")
@pytest.mark.parametrize("header", ["CC", "BCC"])
@pytest.mark.parametrize(
    ("value", "kind"),
    [(7, "signedint"), (Int8(7), "byte"), (b"two", "longstr"), (True, "bool"), ({}, "table"), (None, "void")],
)
def test_header_that_is_no_array_closes_the_channel(
    sender: ChannelClient, header: str, value: Value, kind: str
) -> None:
    text = f'PRECONDITION_FAILED - invalid message: {{unacceptable_type_in_header,"{header}",{kind}}}'
    sender.publish("one", b"a", properties=headers({header: value}))
    publish_closes_channel(sender, 406, text)
    assert copies(sender.client.channel(2)) == (0, 0, 0)


@pytest.mark.rule("5.53")
@pytest.mark.parametrize("name", ["cc", "Cc", "bcc", "Bcc", "BCc", "CC ", "xCC"])
def test_names_are_case_sensitive(sender: ChannelClient, name: str) -> None:
    sender.publish("one", b"a", properties=headers({name: [b"two"]}))
    sender.publish("one", b"a", properties=headers({name: 1}))
    assert copies(sender) == (2, 0, 0)


@pytest.mark.rule("5.53")
def test_keys_need_not_be_utf_8(sender: ChannelClient) -> None:
    sender.publish("one", b"a", properties=headers({"CC": [b"\xff\xfe", b"two"]}))
    assert copies(sender) == (1, 1, 0)


@pytest.mark.rule("5.54")
def test_queue_gets_one_copy_over_all_keys(sender: ChannelClient) -> None:
    keys: Table = {"CC": [b"one", b"one", b"two"], "BCC": [b"two", b"one"]}
    sender.publish("one", b"a", properties=headers(keys))
    assert copies(sender) == (1, 1, 0)
    bind(sender, "three", "amq.topic", "a.*")
    bind(sender, "three", "amq.topic", "#")
    sender.publish("a.1", b"b", exchange="amq.topic", properties=headers({"CC": [b"a.2", b"b"]}))
    assert copies(sender) == (1, 1, 1)


@pytest.mark.rule("5.54")
@pytest.mark.parametrize("blind", [[b"two"], [], [1], [b"nowhere"]])
def test_bcc_is_removed_and_cc_stays(sender: ChannelClient, blind: list[Value]) -> None:
    sender.publish("one", b"a", properties=headers({"n": 1, "BCC": blind, "CC": [b"three"], "z": b"z"}))
    for queue in ("one", "three"):
        delivery = sender.get(queue)
        assert delivery is not None
        assert delivery.headers == {"n": 1, "CC": [b"three"], "z": b"z"}
        assert b"BCC" not in delivery.header_raw


@pytest.mark.rule("5.54")
def test_bcc_alone_leaves_empty_headers(sender: ChannelClient) -> None:
    sender.publish("one", b"a", properties=headers({"BCC": [b"two"]}))
    delivery = sender.get("two")
    assert delivery is not None
    assert delivery.properties == Properties(headers={})


@pytest.mark.rule("5.54")
def test_bcc_is_not_seen_in_returns(sender: ChannelClient) -> None:
    sender.publish("nowhere", b"a", properties=headers({"BCC": [b"nobody"], "CC": [b"none"]}), mandatory=True)
    assert sender.expect_delivery(BasicReturn).headers == {"CC": [b"none"]}


@pytest.mark.rule("5.54")
def test_bcc_is_removed_in_a_transaction_too(sender: ChannelClient) -> None:
    tx_select(sender)
    sender.publish("one", b"a", properties=headers({"BCC": [b"two"]}))
    sender.publish("nowhere", b"a", properties=headers({"BCC": []}), mandatory=True)
    sender.send(TxCommit())
    assert sender.expect_delivery(BasicReturn).headers == {}
    sender.expect(TxCommitOk)
    delivery = sender.get("two")
    assert delivery is not None
    assert delivery.headers == {}


@pytest.mark.rule("5.54")
def test_bcc_is_not_seen_by_a_headers_exchange_consumer(sender: ChannelClient) -> None:
    bind(sender, "one", "amq.headers", arguments={"x-match": b"all", "n": 1})
    sender.publish("", b"a", exchange="amq.headers", properties=headers({"n": 1, "BCC": [b"two"]}))
    delivery = sender.get("one")
    assert delivery is not None
    assert delivery.headers == {"n": 1}


@pytest.mark.rule("5.54")
def test_delivery_shows_the_first_key(sender: ChannelClient) -> None:
    sender.publish("one", b"a", properties=headers({"CC": [b"two"], "BCC": [b"three"]}))
    for queue in QUEUES:
        delivery = sender.get(queue, no_ack=False)
        assert delivery is not None
        assert isinstance(delivery.method, BasicGetOk)
        assert (delivery.method.exchange, delivery.method.routing_key) == ("", "one")


@pytest.mark.rule("5.54")
def test_bcc_does_not_come_back_when_the_message_is_dead_lettered(sender: ChannelClient) -> None:
    """The blind keys still route the dead letter (rule 4.36), but nobody sees them."""
    source = exchange(sender, "x", "topic")
    queue = sender.queue("q", arguments={"x-dead-letter-exchange": source.encode()})
    bind(sender, "three", source, "blind")
    sender.publish(queue, b"a", properties=headers({"BCC": [b"blind"]}))
    delivery = sender.get(queue, no_ack=False)
    assert delivery is not None
    reject(sender, delivery.tag, requeue=False)
    dead = sender.get("three")
    assert dead is not None
    assert b"BCC" not in dead.header_raw
    assert b"blind" not in dead.header_raw
