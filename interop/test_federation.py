"""Federation with a RabbitMQ, which has exchanges and queues of ours as its upstream, or is the upstream of ours."""

from __future__ import annotations

from collections.abc import Iterator

import pika
import pytest

from interop.managed import DEADLINE_S, Side, side_of, until
from interop.own_broker import started_broker
from interop.proxy import proxied
from interop.rabbitmq import (
    COUNTED_OFTEN,
    FEDERATION,
    FEDERATION_MANAGEMENT,
    MANAGEMENT,
    RabbitMQUnavailableError,
    running_node,
)

pytestmark = pytest.mark.long

NAME = "federated"
COUNT = 200


@pytest.fixture(scope="module")
def rabbitmq() -> Iterator[Side]:
    plugins = [MANAGEMENT, FEDERATION, FEDERATION_MANAGEMENT]
    try:
        with (
            running_node(plugins=plugins, settings=COUNTED_OFTEN) as node,
            side_of(node.url, node.management_url) as side,
        ):
            yield side
    except RabbitMQUnavailableError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def ours() -> Iterator[Side]:
    with started_broker("--memory", "--management-port", "0") as broker:
        with side_of(broker.login_url, broker.management_url) as side:
            yield side
        broker.stop()


@pytest.fixture(params=["RabbitMQ upstream", "RabbitMQ downstream"])
def sides(request: pytest.FixtureRequest, rabbitmq: Side, ours: Side) -> Iterator[tuple[Side, Side]]:
    """Upstream and downstream; nothing is there but the parameter that links them."""
    upstream, downstream = (rabbitmq, ours) if request.param == "RabbitMQ upstream" else (ours, rabbitmq)
    for side in (rabbitmq, ours):
        forget(side)
    federate(upstream, downstream)
    yield upstream, downstream
    for side in (rabbitmq, ours):
        forget(side)


def forget(side: Side) -> None:
    side.api.delete(f"/api/policies/%2F/{NAME}")
    side.api.delete("/api/parameters/federation-upstream/%2F/there")
    until(lambda: has_links_running(side, 0))
    with side.channel() as channel:
        channel.exchange_delete(NAME)
        for name in (NAME, "bound"):
            channel.queue_delete(name)


def has_links_running(side: Side, count: int) -> bool:
    return [link["status"] for link in side.get("/api/federation-links")] == ["running"] * count


def federate(upstream: Side, downstream: Side, url: str = "") -> None:
    value = {"uri": url or upstream.url, "reconnect-delay": 1}
    downstream.put("/api/parameters/federation-upstream/%2F/there", {"value": value})
    policy = {"pattern": f"^{NAME}$", "definition": {"federation-upstream-set": "all"}, "apply-to": "all"}
    downstream.put(f"/api/policies/%2F/{NAME}", policy)


def bound_exchange(side: Side, key: str) -> None:
    with side.channel() as channel:
        channel.exchange_declare(NAME, "topic", durable=True)
        channel.queue_declare("bound", durable=True)
        channel.queue_bind("bound", NAME, key)


def taken(side: Side, queue: str, count: int) -> list[tuple[str, pika.BasicProperties, bytes]]:
    """So many messages of a queue, as soon as they are there: routing key, properties, body."""
    found: list[tuple[str, pika.BasicProperties, bytes]] = []
    with side.channel() as channel:
        for method, properties, body in channel.consume(queue, auto_ack=True, inactivity_timeout=DEADLINE_S):
            assert method is not None, f"only {len(found)} came"
            found.append((method.routing_key, properties, body))
            if len(found) == count:
                break
        channel.cancel()
    return found


def is_bound_upstream(upstream: Side, key: str) -> bool:
    """The link has made the binding there: from then on messages with that key cross."""
    return any(binding["routing_key"] == key for binding in upstream.get(f"/api/exchanges/%2F/{NAME}/bindings/source"))


def test_an_exchange_gets_what_it_is_bound_for(sides: tuple[Side, Side]) -> None:
    upstream, downstream = sides
    bound_exchange(downstream, "news.#")
    until(lambda: has_links_running(downstream, 1) and is_bound_upstream(upstream, "news.#"))
    properties = pika.BasicProperties(
        content_type="text/plain",
        headers={"n": 1},
        delivery_mode=2,
        priority=3,
        correlation_id="c",
        message_id="m",
        timestamp=1_700_000_000,
        type="t",
        app_id="a",
    )
    with upstream.channel() as channel:
        channel.basic_publish(NAME, "sport", b"not wanted")
        channel.basic_publish(NAME, "news.weather", b"wanted", properties)
    [(key, seen, body)] = taken(downstream, "bound", 1)
    assert (key, body) == ("news.weather", b"wanted")
    headers = seen.headers or {}
    [hop] = headers.pop("x-received-from")
    assert (hop["uri"], hop["exchange"], hop["redelivered"]) == (upstream.url.replace("guest:guest@", ""), NAME, False)
    assert seen == properties

    with downstream.channel() as channel:
        channel.queue_bind("bound", NAME, "sport")
    until(lambda: is_bound_upstream(upstream, "sport"))
    with upstream.channel() as channel:
        channel.basic_publish(NAME, "sport", b"wanted now")
    assert [body for _, _, body in taken(downstream, "bound", 1)] == [b"wanted now"]


def test_a_queue_is_consumed_where_the_consumers_are(sides: tuple[Side, Side]) -> None:
    upstream, downstream = sides
    for side in sides:
        with side.channel() as channel:
            channel.queue_declare(NAME, durable=True)
    until(lambda: has_links_running(downstream, 1))
    with upstream.channel() as channel:
        for number in range(COUNT):
            channel.basic_publish("", NAME, b"%d" % number, pika.BasicProperties(delivery_mode=2))
    assert sorted(int(body) for _, _, body in taken(downstream, NAME, COUNT)) == list(range(COUNT))
    until(lambda: upstream.messages_in(NAME) == 0)


def test_messages_between_two_that_federate_each_other_do_not_go_in_circles(sides: tuple[Side, Side]) -> None:
    federate(sides[1], sides[0])
    for side in sides:
        bound_exchange(side, "#")
    for side in sides:
        until(lambda side=side: has_links_running(side, 1) and is_bound_upstream(side, "#"))  # type: ignore[misc]
    for number, side in enumerate(sides):
        with side.channel() as channel:
            channel.basic_publish(NAME, "key", b"%d" % number)
    for side in sides:
        assert sorted(body for _, _, body in taken(side, "bound", 2)) == [b"0", b"1"]
    for side in sides:
        assert side.messages_in("bound") == 0


def test_what_was_confirmed_crosses_though_the_link_is_cut(sides: tuple[Side, Side]) -> None:
    """What the link had not acknowledged waits at the upstream, in a queue of its own."""
    upstream, downstream = sides
    with proxied(upstream.url) as proxy:
        federate(upstream, downstream, proxy.url)
        bound_exchange(downstream, "#")
        until(lambda: has_links_running(downstream, 1) and is_bound_upstream(upstream, "#"))
        with upstream.channel() as channel:
            for number in range(COUNT):
                channel.basic_publish(NAME, "key", b"%d" % number, pika.BasicProperties(delivery_mode=2))
                if number in {COUNT // 4, COUNT // 2}:
                    accepted = proxy.accepted
                    proxy.cut()
                    until(lambda accepted=accepted: proxy.accepted > accepted)  # type: ignore[misc]
        missing = set(range(COUNT))
        with downstream.channel() as channel:
            for method, _, body in channel.consume("bound", auto_ack=True, inactivity_timeout=DEADLINE_S):
                assert method is not None, f"{missing} did not come"
                missing.discard(int(body))
                if not missing:
                    break
        forget(downstream)
