"""Shovels as parameters, which run in a broker: RabbitMQ's from and to ours, ours from and to a RabbitMQ.

The other broker is killed while messages move.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import attrs
import pika
import pytest

from interop.managed import Side, side_of, until
from interop.own_broker import started_broker
from interop.proxy import Weather, proxied
from interop.rabbitmq import MANAGEMENT, SHOVEL, RabbitMQUnavailableError, running_node
from interop.restartable import Restartable, running

pytestmark = pytest.mark.long

SOURCE, DESTINATION = "shovelled", "arrived"
COUNT = 3000


@attrs.frozen
class Pair:
    """A broker that runs a shovel, and the one at the other end, with both queues on each."""

    runner: Side
    other: Restartable


@pytest.fixture(scope="module", params=["ours runs it", "RabbitMQ runs it"])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with contextlib.ExitStack() as stack:
        try:
            if request.param == "ours runs it":
                broker = stack.enter_context(started_broker("--memory", "--management-port", "0"))
                stack.callback(broker.stop)
                runner = stack.enter_context(side_of(broker.login_url, broker.management_url))
                other = stack.enter_context(running("rabbitmq", Path()))
            else:
                node = stack.enter_context(running_node(plugins=[MANAGEMENT, SHOVEL]))
                runner = stack.enter_context(side_of(node.url, node.management_url))
                other = stack.enter_context(running("ours", tmp_path_factory.mktemp("other")))
        except RabbitMQUnavailableError as error:
            pytest.skip(str(error))
        yield Pair(runner, other)


@pytest.mark.parametrize("direction", ["from the other", "to the other"])
def test_a_shovel_loses_nothing_when_the_other_broker_is_killed(pair: Pair, direction: str) -> None:
    is_pulled = direction == "from the other"
    for url in (pair.runner.url, pair.other.url):
        with pika.BlockingConnection(pika.URLParameters(url)) as connection:
            channel = connection.channel()
            for queue in (SOURCE, DESTINATION):
                channel.queue_delete(queue)
                channel.queue_declare(queue, durable=True)
    with pika.BlockingConnection(pika.URLParameters(pair.other.url if is_pulled else pair.runner.url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        for number in range(COUNT):
            channel.basic_publish("", SOURCE, b"%d" % number, pika.BasicProperties(delivery_mode=2))
    with proxied(pair.other.url, Weather(delay_s=0.005, piece_octets=1000)) as proxy:
        ends = (proxy.url, pair.runner.url) if is_pulled else (pair.runner.url, proxy.url)
        value = {
            "src-uri": ends[0],
            "src-queue": SOURCE,
            "dest-uri": ends[1],
            "dest-queue": DESTINATION,
            "src-prefetch-count": 50,
            "reconnect-delay": 1,
        }
        pair.runner.put("/api/parameters/shovel/%2F/there", {"value": value})
        try:
            until(lambda: messages_in(pair, DESTINATION, is_other=not is_pulled) > COUNT // 20)
            pair.other.kill()
            proxy.refuse()
            pair.other.start()
            proxy.lead_to(pair.other.url)
            assert messages_in(pair, SOURCE, is_other=is_pulled) > 0, "it had not come to the end before"
            until(
                lambda: (
                    messages_in(pair, DESTINATION, is_other=not is_pulled) >= COUNT
                    and numbers_in(pair, DESTINATION, is_other=not is_pulled) == set(range(COUNT))
                )
            )
        finally:
            pair.runner.api.delete("/api/parameters/shovel/%2F/there").raise_for_status()


def messages_in(pair: Pair, queue: str, *, is_other: bool) -> int:
    with pika.BlockingConnection(pika.URLParameters(pair.other.url if is_other else pair.runner.url)) as connection:
        return int(connection.channel().queue_declare(queue, passive=True).method.message_count)


def numbers_in(pair: Pair, queue: str, *, is_other: bool) -> set[int]:
    """What the messages that wait say; they stay."""
    found = set()
    with pika.BlockingConnection(pika.URLParameters(pair.other.url if is_other else pair.runner.url)) as connection:
        channel = connection.channel()
        while (got := channel.basic_get(queue))[0] is not None:
            assert got[2] is not None
            found.add(int(got[2]))
    return found
