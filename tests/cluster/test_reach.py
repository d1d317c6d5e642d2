"""Which server of NATS is of use, as seen from connections to several: sans network."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import attrs
import pytest

from amqp_broker.cluster.log import LogUnavailable
from amqp_broker.cluster.reach import AGAIN_S, links

WAIT_S = 4 * AGAIN_S


@attrs.define(eq=False)
class Network:
    """Servers, and what is lost between them.

    Attributes:
        lost: from one to another.
        late: ways on which the first message is lost.
    """

    lost: set[tuple[str, str]] = attrs.Factory(set)
    late: set[tuple[str, str]] = attrs.Factory(set)
    heard: dict[str, tuple[str, asyncio.Future[Any]]] = attrs.Factory(dict)


@attrs.define(eq=False)
class Connected:
    """A connection to one of them."""

    server: str
    network: Network
    is_over: bool = False

    def expect(self, answer: asyncio.Future[Any]) -> str:
        subject = f"{self.server}.{len(self.network.heard)}"
        self.network.heard[subject] = self.server, answer
        return subject

    async def tell(self, subject: str, _data: bytes) -> None:
        if self.is_over:
            raise LogUnavailable("gone")
        target, answer = self.network.heard[subject]
        way = (self.server, target)
        if way in self.network.late:
            self.network.late.discard(way)
        elif way not in self.network.lost and not answer.done():
            answer.set_result(None)


def reached(network: Network, over: Iterable[str] = ()) -> list[int]:
    return asyncio.run(links([Connected(each, network, each in over) for each in "abc"], WAIT_S))


@pytest.mark.parametrize(
    ("lost", "expected"),
    [
        ("", [2, 2, 2]),
        ("ab ba", [1, 1, 2]),
        ("ab ac ba ca", [0, 1, 1]),
        ("ab ac", [0, 1, 1]),
        ("ba ca", [0, 1, 1]),
        ("ab ba ac ca bc cb", [0, 0, 0]),
    ],
    ids=["whole", "two apart", "isolated", "mute", "deaf", "all apart"],
)
def test_a_link_is_one_in_both_directions(lost: str, expected: list[int]) -> None:
    assert reached(Network({(way[0], way[1]) for way in lost.split()})) == expected


def test_what_is_lost_before_anybody_listens_is_sent_again() -> None:
    assert reached(Network(late={("a", "b"), ("b", "c")})) == [2, 2, 2]


def test_a_connection_that_breaks_reaches_nobody() -> None:
    assert reached(Network(), over="b") == [1, 0, 1]
