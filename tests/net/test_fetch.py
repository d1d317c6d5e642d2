"""Fetching over real sockets: answers, none, too much, too late, too many."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from amqp_broker.auth.errors import AuthConfigError
from amqp_broker.auth.fetching import Request, Response
from amqp_broker.net.fetch import AT_ONCE, MAX_BODY_OCTETS, MAX_WAITING, Fetcher

DEADLINE_S = 10


class Service:
    """Answers every connection with the same octets, after reading a request's head."""

    def __init__(self, nursery: trio.Nursery, answer: bytes) -> None:
        self.heads: list[bytes] = []
        self.answer = answer
        self._nursery = nursery

    async def start(self) -> str:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        self._nursery.start_soon(trio.serve_listeners, self._serve, [listener])
        return f"http://127.0.0.1:{listener.socket.getsockname()[1]}"

    async def _serve(self, stream: trio.SocketStream) -> None:
        head = bytearray()
        while b"\r\n\r\n" not in head:
            head += await stream.receive_some()
        self.heads.append(bytes(head))
        await stream.send_all(self.answer)


class Results:
    """What came back, and a way to wait for it."""

    def __init__(self) -> None:
        self.came: list[Response | None] = []
        self._more = trio.Event()

    def done(self, response: Response | None) -> None:
        self.came.append(response)
        self._more.set()

    async def wait(self, count: int = 1) -> list[Response | None]:
        with trio.fail_after(DEADLINE_S):
            while len(self.came) < count:
                self._more = trio.Event()
                await self._more.wait()
        return self.came


def http(body: bytes, status: str = "200 OK") -> bytes:
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (status.encode(), len(body), body)


@pytest.fixture
def fetcher(nursery: trio.Nursery) -> Fetcher:
    fetcher = Fetcher()
    nursery.start_soon(fetcher.run)
    return fetcher


async def test_an_answer_comes_back(nursery: trio.Nursery, fetcher: Fetcher) -> None:
    service, results = Service(nursery, http(b"allow", "201 Created")), Results()
    url = await service.start()
    fetcher.fetch(Request("GET", f"{url}/user?a=b", b""), results.done)
    assert await results.wait() == [Response(201, b"allow")]
    fetcher.fetch(Request("POST", f"{url}/user", b"a=b"), results.done)
    await results.wait(2)
    assert service.heads[0].startswith(b"GET /user?a=b HTTP/1.1\r\n")
    assert service.heads[1].startswith(b"POST /user HTTP/1.1\r\n")
    assert b"application/x-www-form-urlencoded" in service.heads[1]


@pytest.mark.parametrize("answer", [b"", b"nonsense\r\n\r\n", http(bytes(MAX_BODY_OCTETS + 1))])
async def test_what_is_no_answer_is_none(nursery: trio.Nursery, fetcher: Fetcher, answer: bytes) -> None:
    service, results = Service(nursery, answer), Results()
    fetcher.fetch(Request("GET", await service.start(), b""), results.done)
    assert await results.wait() == [None]


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "http://[::1/", "http://127.0.0.1:x/", "", "http://a b/"])
async def test_where_nobody_answers_is_none(fetcher: Fetcher, url: str) -> None:
    results = Results()
    fetcher.fetch(Request("GET", url, b"", 1.0), results.done)
    assert await results.wait() == [None]


async def test_an_answer_that_comes_too_late_is_none(fetcher: Fetcher) -> None:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        results = Results()
        url = f"http://127.0.0.1:{listener.socket.getsockname()[1]}/"
        fetcher.fetch(Request("GET", url, b"", 0.05), results.done)
        assert await results.wait() == [None]


async def test_too_many_at_once_get_no_answer() -> None:
    fetcher, results = Fetcher(), Results()
    for _ in range(MAX_WAITING + 5):
        fetcher.fetch(Request("GET", "http://127.0.0.1:1/", b""), results.done)
    assert results.came == [None] * 5


async def test_more_than_go_at_once_are_all_answered(nursery: trio.Nursery, fetcher: Fetcher) -> None:
    service, results = Service(nursery, http(b"allow")), Results()
    url = await service.start()
    for _ in range(3 * AT_ONCE):
        fetcher.fetch(Request("GET", url, b""), results.done)
    assert await results.wait(3 * AT_ONCE) == [Response(200, b"allow")] * 3 * AT_ONCE


async def test_a_callback_that_fails_stops_nothing(nursery: trio.Nursery, fetcher: Fetcher) -> None:
    service, results = Service(nursery, http(b"allow")), Results()
    url = await service.start()

    def fails(_response: Response | None) -> None:
        raise ZeroDivisionError

    for _ in range(AT_ONCE + 1):
        fetcher.fetch(Request("GET", url, b""), fails)
    fetcher.fetch(Request("GET", url, b""), results.done)
    assert await results.wait() == [Response(200, b"allow")]


def test_an_authority_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(AuthConfigError, match=r"no certificates in PEM form in .*none"):
        Fetcher([tmp_path / "none"])
