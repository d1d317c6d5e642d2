"""Live figures: streams of answers, bounded, and gone when nobody listens."""

from __future__ import annotations

import json

import httpx
import pytest
import trio
import trio.testing
from starlette.responses import Response
from starlette.types import Message

from amqp_broker.config import Config
from amqp_broker.management.errors import ApiError
from amqp_broker.management.live import INTERVAL_S, LIFE_S, MAX_VIEWS, Live, Streams
from tests.management.support import api_of
from tests.support.client import World


class Reader:
    """Whoever reads a stream; notes the events with the time they came."""

    def __init__(self, *, leaves_after: int | None = None) -> None:
        self.events: list[tuple[str, str]] = []
        self.times: list[float] = []
        self._leaves_after = leaves_after
        self._leaves = trio.Event()

    async def read(self, response: Response) -> None:
        await response({"type": "http"}, self._receive, self._send)

    async def _receive(self) -> Message:
        await self._leaves.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        for event in message.get("body", b"").decode().split("\n\n")[:-1]:
            fields = dict(line.split(": ", 1) for line in event.splitlines())
            self.events.append((fields["event"], fields["data"]))
            self.times.append(trio.current_time())
        if self._leaves_after is not None and len(self.events) >= self._leaves_after:
            self._leaves.set()
            await trio.sleep_forever()  # as a socket that nobody reads


async def test_only_what_has_changed_is_sent_again(autojump_clock: trio.abc.Clock) -> None:
    answers = iter([b"[1]", b"[1]", b"[2]"])

    async def ask(view: str) -> bytes:
        return next(answers) if view == "a" else b"{}"

    reader, streams = Reader(leaves_after=6), Streams(Config())
    await reader.read(streams.answer(Live(["a", "b"]), "guest", ask))
    assert [data for event, data in reader.events if event == "view"] == ["[1]", "{}", "[2]"]
    assert [event for event, _ in reader.events] == ["view", "view", "tick", "tick", "view", "tick"]
    assert reader.times[-1] - reader.times[0] == pytest.approx(2 * INTERVAL_S)
    assert len(streams) == 0


async def test_an_error_is_told_and_the_stream_goes_on(autojump_clock: trio.abc.Clock) -> None:
    async def ask(view: str) -> bytes:
        raise ApiError(404, "", "")

    reader = Reader(leaves_after=3)
    await reader.read(Streams(Config()).answer(Live(["gone"]), "guest", ask))
    assert reader.events[0] == ("error", "404")
    assert [event for event, _ in reader.events] == ["error", "tick", "tick"]


async def test_what_takes_long_is_asked_for_rarely(autojump_clock: trio.abc.Clock) -> None:
    async def ask(view: str) -> bytes:
        await trio.sleep(1)
        return b"%d" % trio.current_time()

    reader = Reader()
    await reader.read(Streams(Config()).answer(Live(["slow"]), "guest", ask))
    assert sum(event == "view" for event, _ in reader.events) == LIFE_S / 10


async def test_a_stream_ends_so_that_its_reader_logs_in_again(autojump_clock: trio.abc.Clock) -> None:
    async def ask(view: str) -> bytes:
        return b"1"

    reader, streams = Reader(), Streams(Config())
    await reader.read(streams.answer(Live(["a"]), "guest", ask))
    assert [event for event, _ in reader.events] == ["view", *["tick"] * int(LIFE_S)]
    assert len(streams) == 0


async def test_streams_are_bounded() -> None:
    async def ask(view: str) -> bytes:
        return b"1"

    streams = Streams(Config())
    async with trio.open_nursery() as nursery:
        for _ in range(Config().max_live_streams_per_user):
            nursery.start_soon(Reader().read, streams.answer(Live(["a"]), "guest", ask))
        await trio.testing.wait_all_tasks_blocked()
        assert len(streams) == Config().max_live_streams_per_user
        with pytest.raises(ApiError, match="Too many"):
            streams.answer(Live(["a"]), "guest", ask)
        nursery.start_soon(Reader().read, streams.answer(Live(["a"]), "somebody", ask))
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert len(streams) == 0


@pytest.mark.parametrize("views", [[], ["a"] * (MAX_VIEWS + 1)])
def test_there_is_something_to_watch_but_not_much(views: list[str]) -> None:
    async def ask(view: str) -> bytes:
        raise NotImplementedError

    with pytest.raises(ApiError, match="1 to 8 views"):
        Streams(Config()).answer(Live(views), "guest", ask)


async def test_the_api_answers_what_is_watched(autojump_clock: trio.abc.Clock) -> None:
    world = World()
    world.channel().queue("q")
    async with api_of(world.broker) as client:
        views = "queues/%2F/q?columns=name\nqueues?page=1&columns=name\nqueues/%2F/none\nlive?view=overview"
        answer = await client.get("live", params={"view": views})
        assert answer.headers["content-type"].startswith("text/event-stream")
        first = answer.text.split("\n\n")[:4]
        names = [part.partition("data: ")[2] for part in first]
        assert json.loads(names[0])["name"] == "q"
        assert json.loads(names[1])["items"] == [{"name": "q"}]
        assert names[2:] == ["404", "400"]


async def test_nobody_watches_without_a_login() -> None:
    async with api_of(World().broker, auth=None) as client:
        assert (await client.get("live?view=overview")).status_code == 401
    async with api_of(World().broker, auth=("guest", "wrong")) as client:
        response: httpx.Response = await client.get("live?view=overview")
        assert response.status_code == 401
