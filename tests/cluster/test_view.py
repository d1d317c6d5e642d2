"""The cluster as commands see it, and what other nodes ask of this one."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from amqp_broker.cluster.membership import Membership
from amqp_broker.cluster.meta import Meta
from amqp_broker.cluster.places import Places
from amqp_broker.cluster.view import CATCH_UP_S, View
from amqp_broker.net.forwarding import Forwarder
from amqp_broker.placement import Inquiry


@pytest.fixture
def meta() -> Meta:
    return Meta()


@pytest.fixture
def view(meta: Meta) -> View:
    known = Membership("a", "run", {}, 0.0)
    return View(known, meta, Places(known), Forwarder("a", lambda: b""), dict, lambda _action: None)


async def answered(view: View, revision: int) -> list[float]:
    """When a question is answered by a node that is to know so much; goes on meanwhile."""
    at: list[float] = []

    async def answer(_inquiry: Inquiry, _stream: trio.abc.HalfCloseableStream) -> None:
        at.append(trio.current_time())

    view.answer_with("s", answer)
    ours, _ = trio.testing.memory_stream_pair()
    await view.answers["s"](Inquiry("s", revision=revision), ours)
    return at


async def test_an_answer_waits_for_what_the_one_who_asks_knows(
    autojump_clock: object, view: View, meta: Meta, nursery: trio.Nursery
) -> None:
    async def learn() -> None:
        for revision in (4, 5):
            await trio.sleep(0.3)
            meta.told("meta.user.YW5u", None, revision)
            view.heard()

    nursery.start_soon(learn)
    assert await answered(view, 5) == [pytest.approx(0.6)]
    assert await answered(view, 5) == [pytest.approx(0.6)]


async def test_an_answer_does_not_wait_for_ever(autojump_clock: object, view: View) -> None:
    assert await answered(view, 5) == [pytest.approx(CATCH_UP_S)]


async def test_a_node_that_is_not_known_is_not_asked(view: View) -> None:
    with pytest.raises(OSError, match="there is no node nobody"):
        await view.visit("nobody", "s")
