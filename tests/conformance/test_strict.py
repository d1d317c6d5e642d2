"""The strict profile: what RabbitMQ 4.3 has given up is refused as it does (rules 4.10, 4.14 and 5.34)."""

from __future__ import annotations

import pytest

from amqp_broker.config import Config
from amqp_codec import BasicQos, BasicQosOk, QueueDeclare, QueueDeclareOk, Table
from tests.support.client import ChannelClient, World
from tests.support.topology import connection_refused, refused


@pytest.fixture
def strict() -> ChannelClient:
    return World(Config(profile="strict")).channel()


def not_permitted(feature: str) -> str:
    return f"INTERNAL_ERROR - Feature `{feature}` is deprecated.\nBy default, this feature is not permitted anymore."


@pytest.mark.rule("4.10")
def test_shared_transient_queues_are_refused(strict: ChannelClient) -> None:
    connection_refused(strict, QueueDeclare(queue="q"), 541, not_permitted("transient_nonexcl_queues"))


@pytest.mark.rule("4.10")
@pytest.mark.parametrize(("durable", "exclusive"), [(True, False), (False, True), (True, True)])
def test_other_queues_are_not(strict: ChannelClient, durable: bool, exclusive: bool) -> None:
    method = QueueDeclare(queue="q", durable=durable, exclusive=exclusive)
    strict.call(method, QueueDeclareOk)
    strict.call(method, QueueDeclareOk)


@pytest.mark.rule("4.14")
def test_the_master_locator_is_refused(strict: ChannelClient) -> None:
    method = QueueDeclare(queue="q", durable=True, arguments={"x-queue-master-locator": b"min-masters"})
    connection_refused(strict, method, 541, not_permitted("queue_master_locator"))


@pytest.mark.rule("4.14")
def test_the_first_version_of_queues_is_refused(strict: ChannelClient) -> None:
    refused(
        strict,
        QueueDeclare(queue="q", durable=True, arguments={"x-queue-version": 1}),
        406,
        "PRECONDITION_FAILED - invalid arg 'x-queue-version' for queue 'q' in vhost '/': "
        "\"unsupported queue version '1'\"",
    )


@pytest.mark.rule("4.14")
@pytest.mark.parametrize("arguments", [{"x-queue-mode": b"lazy"}, {"x-queue-version": 2}])
def test_what_is_only_without_effect_is_taken(strict: ChannelClient, arguments: Table) -> None:
    strict.call(QueueDeclare(queue="q", durable=True, arguments=arguments), QueueDeclareOk)


@pytest.mark.rule("5.34")
def test_a_shared_prefetch_is_taken_for_one_of_each_consumer() -> None:
    world = World(Config(profile="strict"))
    channel = world.channel()
    channel.call(BasicQos(prefetch_count=7, global_=True), BasicQosOk)
    [connection] = world.broker.clients
    [served] = connection.channels.values()  # type: ignore[attr-defined]
    assert (served.prefetch_count, served.unacked.prefetch_count) == (7, 0)


@pytest.mark.rule("4.10")
def test_without_the_profile_all_of_it_is_taken(channel: ChannelClient) -> None:
    arguments: Table = {"x-queue-master-locator": b"min-masters", "x-queue-version": 1}
    channel.call(QueueDeclare(queue="q", arguments=arguments), QueueDeclareOk)
