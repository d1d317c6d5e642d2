"""Commands, and definitions, that other nodes carry out: all of a file or nothing, and nobody waits without end."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterator, Sequence
from functools import partial
from typing import Any, cast

import attrs
import pytest
import trio
import trio.testing

from amqp_broker.administration.errors import VhostNowhereError
from amqp_broker.administration.exporting import export_definitions
from amqp_broker.administration.fields import InvalidDefinitionsError
from amqp_broker.administration.importing import importing_definitions
from amqp_broker.administration.left import Left
from amqp_broker.administration.vhosts import add_vhost, set_vhost_limits
from amqp_broker.broker import Broker
from amqp_broker.config import Config
from amqp_broker.control.errors import ControlError
from amqp_broker.inspection.cluster import Cluster
from amqp_broker.inspection.node import Node
from amqp_broker.net import control, passing_on
from amqp_broker.net.control import SIGN_S, SILENCE_S, answer_node
from amqp_broker.net.passing_on import OWNER_S, Hear, ask, deliver, request_of
from amqp_broker.net.turns import in_turns
from amqp_broker.placement import Found, Inquiry
from amqp_broker.resources import Resources
from tests.management.support import node_of


@attrs.define(eq=False)
class Place:
    """The cluster as one of two nodes knows it.

    Attributes:
        owners: who has which vhost.
        nodes: both.
        nursery: where they answer.
        asked: how often one asked the other.
        breaks: how many answers are cut off: the first before it begins, the second in the middle, and so on.
    """

    name: str
    owners: dict[str, str]
    nodes: dict[str, Node]
    nursery: trio.Nursery
    asked: int = 0
    breaks: int = 0

    def is_here(self, vhost: str) -> bool:
        return self.owners.get(vhost) == self.name

    def locate(self, vhost: str, found: Found) -> None: ...

    def forget(self, vhost: str, found: Found) -> None: ...

    async def wait_owner(self, vhost: str) -> str:
        await trio.lowlevel.checkpoint()
        if vhost not in self.owners:
            await trio.sleep_forever()
        return self.owners[vhost]

    async def visit(self, node: str, subject: str) -> trio.abc.HalfCloseableStream:
        self.asked += 1
        ours, theirs = trio.testing.memory_stream_pair()
        if self.breaks:
            self.breaks -= 1
            if self.breaks % 2:
                await theirs.send_all(b'{"exit"')
                await theirs.send_eof()
            else:
                await theirs.aclose()
        else:
            self.nursery.start_soon(answer_node, self.nodes[node], Inquiry(subject), theirs)
        return ours


Nodes = dict[str, Node]


async def hear_nothing(_lines: Sequence[bytes]) -> None: ...


@pytest.fixture
def nodes(nursery: trio.Nursery) -> Nodes:
    """Node a, which has `/`, and b, which has `v`."""
    nodes: Nodes = {}
    owners = {"/": "a", "v": "b"}
    for name in ("a", "b"):
        broker = Broker(Config(node_name=name))
        add_vhost(broker, "v")
        node = nodes[name] = Node(broker, Resources(broker))
        place = broker.placement = Place(name, owners, nodes, nursery)
        node.cluster = cast("Cluster", place)
    return nodes


def place_of(node: Node) -> Place:
    assert isinstance(node.broker.placement, Place)
    return node.broker.placement


async def take_over(node: Node, document: Any) -> None:
    """Import definitions as the HTTP API does."""
    steps = importing_definitions(node.broker, document, by="guest")
    left = await in_turns(steps, see_to=partial(deliver, node))
    if left is not None:
        await deliver(node, left)


def everything(nodes: Nodes) -> list[object]:
    return [export_definitions(node.broker) for node in nodes.values()]


DOCUMENT: Any = {
    "users": [{"name": "eve", "password": "pw", "tags": ""}],
    "queues": [{"name": "q", "vhost": "/"}, {"name": "q1", "vhost": "v"}],
    "exchanges": [{"name": "x", "vhost": "v", "type": "headers"}],
}


def bound(**arguments: object) -> dict[str, object]:
    binding = {"vhost": "v", "source": "x", "destination": "q1", "routing_key": "", "arguments": arguments}
    return {**DOCUMENT, "bindings": [binding]}


async def test_each_node_gets_what_is_to_be_in_its_vhosts(nodes: Nodes) -> None:
    await take_over(nodes["a"], bound())
    assert set(nodes["a"].broker.vhosts["/"].queues) == {"q"}
    assert set(nodes["b"].broker.vhosts["v"].queues) == {"q1"}
    assert len(nodes["b"].broker.vhosts["v"].exchanges["x"].bindings) == 1
    assert not nodes["a"].broker.vhosts["v"].queues


@pytest.mark.parametrize("wrong", ["limit", "limit in the file", "binding"])
async def test_what_only_another_node_can_refuse_changes_nothing_anywhere(nodes: Nodes, wrong: str) -> None:
    document = bound(**{"x-match": "most"} if wrong == "binding" else {})
    for node in nodes.values():  # which all know of limits
        if wrong == "limit":
            set_vhost_limits(node.broker, "v", {"max-queues": 1})
    owner = nodes["b"].broker
    owner.vhosts["v"].declare_queue(
        "there",
        durable=True,
        exclusive_owner=None,
        auto_delete=False,
        arguments={},
        connection=None,
        authorize=lambda *_: None,
    )
    if wrong == "limit in the file":
        value = {"max-queues": 1}
        document["parameters"] = [{"vhost": "v", "component": "vhost-limits", "name": "limits", "value": value}]
    before = everything(nodes)
    with pytest.raises(InvalidDefinitionsError, match=r"^vhost 'v': .*\$\.(queues|bindings)\[0\]"):
        await take_over(nodes["a"], document)
    assert everything(nodes) == before


async def test_a_vhost_that_is_nowhere_changes_nothing(autojump_clock: object, nodes: Nodes) -> None:
    del place_of(nodes["a"]).owners["v"]
    before = everything(nodes)
    with pytest.raises(VhostNowhereError):
        await take_over(nodes["a"], DOCUMENT)
    assert everything(nodes) == before
    assert OWNER_S <= trio.current_time() < OWNER_S + 5


async def test_a_node_that_breaks_off_is_asked_again(autojump_clock: object, nodes: Nodes) -> None:
    place_of(nodes["a"]).breaks = 3
    await take_over(nodes["a"], DOCUMENT)
    assert set(nodes["b"].broker.vhosts["v"].queues) == {"q1"}
    assert place_of(nodes["a"]).asked == 3 + 2


async def test_owners_are_asked_when_what_they_have_to_know_is_stored(
    nodes: Nodes, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    callbacks: list[Callable[[], None]] = []
    storage = nodes["a"].broker.storage
    monkeypatch.setattr(type(storage), "has_unsaved_changes", True)
    monkeypatch.setattr(type(storage), "when_durable", lambda _self, callback: callbacks.append(callback))
    nursery.start_soon(deliver, nodes["a"], Left({"v": {}}, "guest"))
    await trio.testing.wait_all_tasks_blocked()
    assert place_of(nodes["a"]).asked == 0
    monkeypatch.undo()
    callbacks[0]()
    await trio.testing.wait_all_tasks_blocked()
    assert place_of(nodes["a"]).asked == 1


async def test_a_vhost_that_has_come_here_meanwhile_is_imported_here(nodes: Nodes) -> None:
    left = await in_turns(importing_definitions(nodes["a"].broker, DOCUMENT, by="guest"))
    assert left is not None
    place_of(nodes["a"]).owners["v"] = "a"
    await deliver(nodes["a"], attrs.evolve(left, is_rehearsal=True))
    assert not nodes["a"].broker.vhosts["v"].queues
    await deliver(nodes["a"], left)
    assert set(nodes["a"].broker.vhosts["v"].queues) == {"q1"}
    assert not nodes["b"].broker.vhosts["v"].queues


async def test_an_import_here_may_take_longer_than_an_owner_is_looked_for(
    mock_clock: trio.testing.MockClock, nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = []

    def take_long(*_: object) -> Generator[None, None, None]:
        mock_clock.jump(2 * OWNER_S)
        yield
        done.append(1)

    monkeypatch.setattr(passing_on, "_here", take_long)
    monkeypatch.setattr("amqp_broker.net.turns.SLICE_S", 0.0)
    await deliver(nodes["a"], Left({"/": {}}, "guest"))
    assert done


async def test_an_owner_that_was_heard_of_is_looked_for_anew(
    mock_clock: trio.testing.MockClock, nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    async def work_long_and_break_off(_cluster: object, node: str, _request: bytes, hear: Hear) -> None:
        asked.append(node)
        mock_clock.jump(2 * OWNER_S)
        await hear([])
        if len(asked) == 1:
            mock_clock.autojump_threshold = 0
            raise OSError("gone")

    monkeypatch.setattr(passing_on, "ask", work_long_and_break_off)
    await deliver(nodes["a"], Left({"v": {}}, "guest"))
    assert asked == ["b", "b"]


@pytest.mark.parametrize("steps", [3, 30])
async def test_a_node_that_works_for_long_gives_signs_of_life(
    mock_clock: trio.testing.MockClock, nodes: Nodes, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    def work(*_: object) -> Iterator[str | None]:
        for _step in range(steps):
            mock_clock.jump(SIGN_S + 1)
            yield None
        yield "done"

    heard: list[bytes] = []

    async def hear(lines: Sequence[bytes]) -> None:
        heard.extend(lines)

    monkeypatch.setattr(control, "_answers", work)
    monkeypatch.setattr(control, "SLICE_S", 0.0)
    await ask(cast("Cluster", nodes["a"].cluster), "b", request_of("work", {}, b""), hear)
    assert [json.loads(line) for line in heard] == [{"line": "done"}]
    assert trio.current_time() >= steps * SIGN_S


class Mute(Place):
    """The other node takes a question, and no more."""

    async def visit(self, node: str, subject: str) -> trio.abc.HalfCloseableStream:
        self.theirs: trio.abc.HalfCloseableStream
        ours, self.theirs = trio.testing.lockstep_stream_pair()
        if self.breaks:
            self.nursery.start_soon(self.read)
        return ours

    async def read(self) -> None:
        async for _ in self.theirs:
            pass


@pytest.mark.parametrize("reads", [0, 1])
async def test_who_says_nothing_is_not_waited_for(autojump_clock: object, nursery: trio.Nursery, reads: int) -> None:
    mute = cast("Cluster", Mute("a", {}, {}, nursery, breaks=reads))
    with pytest.raises(TimeoutError, match="it says nothing for 30 s"):
        await ask(mute, "b", request_of("import_definitions", {}, bytes(1 << 20)), hear_nothing)
    assert trio.current_time() < 2 * SILENCE_S


@pytest.mark.parametrize("said", [b"", b'{"command": "status"', b'{"command": "status", "content_octets": 10}\nonly'])
async def test_who_asks_nothing_is_not_waited_for(autojump_clock: object, nodes: Nodes, said: bytes) -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    await ours.send_all(said)
    await answer_node(nodes["b"], Inquiry("control"), theirs)
    assert SILENCE_S <= trio.current_time() < 2 * SILENCE_S
    assert await ours.receive_some() == b""


async def test_what_is_not_there_is_not_looked_for_elsewhere(nodes: Nodes) -> None:
    content = json.dumps(DOCUMENT).encode()
    with pytest.raises(ControlError, match="what that is about is not on this node"):
        await ask(cast("Cluster", nodes["b"].cluster), "a", request_of("import_definitions", {}, content), hear_nothing)
    assert "eve" not in [user.name for user in nodes["a"].broker.users]


def test_without_a_cluster_all_is_here() -> None:
    node = node_of(Broker())
    assert list(importing_definitions(node.broker, {"queues": [{"name": "q", "vhost": "/"}]})) == [None, None]
