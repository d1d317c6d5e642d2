"""The exchange amq.rabbitmq.log: lines become messages, whoever logs them and whenever."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator

import pytest
import trio

from amqp_broker import logs
from amqp_broker.administration import vhosts
from amqp_broker.config import Config
from amqp_broker.log_exchange import CONTENT_TYPES, LOG_EXCHANGE, WAITING_LINES, LogExchange
from amqp_broker.server import Server
from amqp_broker.system_exchange import SystemExchange
from tests.support.client import ChannelClient, World
from tests.support.topology import bind, has_exchange

log = logging.getLogger("amqp_broker.somewhere")


class Lines:
    """The log of a world: what is to be done soon is done by `settle`."""

    def __init__(self, world: World, form: str = "plaintext") -> None:
        self.exchange = SystemExchange(LOG_EXCHANGE, lambda: world.broker.vhosts.get("/"))
        world.broker.events.watch(self.exchange.hear)
        self.soon: list[Callable[[], None]] = []
        self.handler = LogExchange(self.exchange, "rabbit@here", CONTENT_TYPES[form], self.soon.append)
        logs.shape(self.handler, "info", form)

    def settle(self) -> None:
        while self.soon:
            self.soon.pop(0)()


@pytest.fixture
def lines(world: World) -> Iterator[Lines]:
    found = Lines(world)
    log.addHandler(found.handler)
    log.setLevel(logging.DEBUG)
    yield found
    log.removeHandler(found.handler)
    log.setLevel(logging.NOTSET)


def heard(world: World, key: str = "#") -> ChannelClient:
    channel = world.channel()
    channel.queue("lines")
    bind(channel, "lines", LOG_EXCHANGE, key)
    return channel


@pytest.mark.rule("3.36")
def test_a_line_is_a_message_with_its_level_for_a_key(world: World, lines: Lines) -> None:
    channel = heard(world)
    log.info("hello %s", "a\nb")
    assert channel.counts("lines") == (0, 0)  # not in the midst of whatever logs
    lines.settle()
    delivery = channel.get("lines")
    assert delivery is not None
    assert delivery.body.endswith(rb" [info] hello a\nb")
    assert (delivery.exchange, delivery.routing_key) == (LOG_EXCHANGE, "info")
    assert delivery.properties.content_type == "text/plain"
    assert delivery.properties.timestamp is not None
    assert delivery.headers == {"node": b"rabbit@here"}


@pytest.mark.rule("3.36")
def test_levels_tell_lines_apart(world: World, lines: Lines) -> None:
    channel = heard(world, "error")
    log.debug("below the level")
    log.warning("another key")
    log.error("this one")
    lines.settle()
    assert [body[-8:] for body in channel.drain("lines")] == [b"this one"]


def test_a_line_may_be_an_object(world: World) -> None:
    lines = Lines(world, "json")
    channel = heard(world)
    lines.handler.handle(log.makeRecord(log.name, logging.INFO, "x.py", 1, "hello", (), None))
    lines.settle()
    delivery = channel.get("lines")
    assert delivery is not None
    assert delivery.properties.content_type == "application/json"
    assert json.loads(delivery.body)["msg"] == "hello"


def test_what_a_message_about_a_line_gives_cause_to_say_is_no_message(
    world: World, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    channel = heard(world)
    publish = lines.exchange.publish

    def publish_and_say(*arguments: object) -> None:
        log.info("published")
        publish(*arguments)  # type: ignore[arg-type]  # handed through

    monkeypatch.setattr(lines.exchange, "publish", publish_and_say)
    log.info("one")
    lines.settle()
    assert channel.counts("lines") == (1, 0)


def test_lines_that_wait_do_not_pile_up(world: World, lines: Lines) -> None:
    channel = heard(world)
    for number in range(WAITING_LINES + 5):
        log.info("%d", number)
    lines.settle()
    bodies = channel.drain("lines")
    assert len(bodies) == WAITING_LINES
    assert bodies[0].endswith(b" 5")


@pytest.mark.rule("1.33", "3.36")
def test_the_exchange_goes_and_comes_with_its_vhost(world: World, lines: Lines) -> None:
    vhosts.delete_vhost(world.broker, "/")
    log.info("to nobody")
    lines.settle()
    vhosts.add_vhost(world.broker, "/")
    assert LOG_EXCHANGE in world.broker.vhosts["/"].exchanges


async def test_a_server_publishes_its_log_when_it_is_asked_to(nursery: trio.Nursery) -> None:
    handlers = list(logging.getLogger(logs.ROOT).handlers)
    server = Server(Config(port=0, log_exchange=True))
    await nursery.start(server.run)
    exchange = server.broker.vhosts["/"].exchanges[LOG_EXCHANGE]
    assert (exchange.type, exchange.durable, exchange.internal) == ("topic", True, True)
    (added,) = (each for each in logging.getLogger(logs.ROOT).handlers if each not in handlers)
    assert isinstance(added, LogExchange)
    server.stop()
    await server.stopped.wait()
    assert logging.getLogger(logs.ROOT).handlers == handlers


@pytest.mark.rule("3.36")
def test_nothing_is_published_until_somebody_asks(world: World) -> None:
    assert not has_exchange(world.channel(), LOG_EXCHANGE)
