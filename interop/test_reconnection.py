"""Clients whose network and whose broker fail under them: nothing that was confirmed is lost, and they come back."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable

import pika
import pytest

from interop.processes import LineProcess, running_python
from interop.proxy import Proxy, Weather, proxied
from interop.restartable import Restartable
from interop.steady.playing import PAUSES, QUEUE

pytestmark = pytest.mark.long

COUNT = 60
DEADLINE_S = 60


def nothing(_proxy: Proxy, _broker: Restartable) -> None:
    """The weather is bad enough."""


def restart(proxy: Proxy, broker: Restartable) -> None:
    broker.restart()
    proxy.lead_to(broker.url)


TROUBLES: dict[str, tuple[Weather, Callable[[Proxy, Restartable], None]]] = {
    "restart": (Weather(), restart),
    "cut": (Weather(), lambda proxy, _: proxy.cut()),
    "silence": (Weather(), lambda proxy, _: proxy.go_silent()),
    "crumbs": (Weather(piece_octets=7), nothing),
    "lumps": (Weather(gather_s=0.02), lambda proxy, _: proxy.cut()),
    "slow": (Weather(delay_s=0.01), lambda proxy, _: proxy.cut()),
    "cut anywhere": (Weather(cut_after=1500, cut_answers_after=1900), nothing),
}


@pytest.mark.parametrize("trouble", TROUBLES)
@pytest.mark.parametrize("client", ["pika", "aio_pika", "kombu", "amqp"])
def test_what_was_confirmed_arrives(restartable: Restartable, client: str, trouble: str) -> None:
    if importlib.util.find_spec(client) is None:
        pytest.skip(f"{client} is not installed: pip install '.[interop]'")
    weather, strike = TROUBLES[trouble]
    with pika.BlockingConnection(pika.URLParameters(restartable.url)) as connection:
        connection.channel().queue_delete(QUEUE)
    module = f"interop.steady.with_{'py_amqp' if client == 'amqp' else client}"
    with proxied(restartable.url, weather) as proxy:
        environment = {"AMQP_URL": proxy.url}
        with (
            running_python("-m", module, "consume", env=environment) as consumer,
            running_python("-m", module, "publish", str(COUNT), env=environment) as publisher,
        ):
            consumer.wait_line("ready", deadline_s=DEADLINE_S)
            for number in PAUSES:
                publisher.wait_line(f"waiting {number}", deadline_s=DEADLINE_S)
                strike(proxy, restartable)
                publisher.write_line()
            publisher.wait_line("done", deadline_s=DEADLINE_S)
            wait_for_all(consumer)
            if strike is not nothing or weather.cut_after is not None:
                assert (
                    any(line.startswith("lost") for line in [*publisher.lines, *consumer.lines]) or proxy.accepted > 2
                )
    confirmed = [line for line in publisher.lines if line.startswith("confirmed")]
    assert confirmed == [f"confirmed {number}" for number in range(COUNT)]


def wait_for_all(consumer: LineProcess) -> None:
    """Read what the consumer got until it has everything. Raises ProcessError after the deadline."""
    missing = {f"got {number}" for number in range(COUNT)} - set(consumer.lines)
    while missing:
        missing.discard(consumer.wait_line("got", deadline_s=DEADLINE_S))
        missing -= set(consumer.lines)
