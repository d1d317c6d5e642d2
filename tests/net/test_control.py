"""The control socket of a running broker: what a large file costs others, and requests that are no good."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from amqp_broker.config import Config
from amqp_broker.ctl import asking, places
from amqp_broker.net import control, turns
from amqp_broker.server import Server

DEADLINE_S = 10
QUEUES = 500


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the broker has its socket."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return places.socket_of_port(0).parent


@pytest.fixture
async def server(path: Path, nursery: trio.Nursery) -> Server:
    server = Server(Config(port=0, management_port=None, metrics_port=None, has_control_socket=True))
    await nursery.start(server.run)
    return server


def ask(path: Path, request: dict[str, Any]) -> list[Any]:
    (found,) = path.glob("*.sock")
    with asking.connect(found, DEADLINE_S) as connection:
        return list(asking.ask(connection, request))


async def answer_to(path: Path, **request: Any) -> list[Any]:
    with trio.fail_after(DEADLINE_S):
        return await trio.to_thread.run_sync(partial(ask, path, request))


def definitions(queues: Iterable[str]) -> bytes:
    return json.dumps({"queues": [{"name": name, "vhost": "/"} for name in queues]}).encode()


async def test_others_have_their_turns_while_definitions_are_imported(
    server: Server, path: Path, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "SLICE_S", 0.0)
    seen: set[int] = set()

    async def look() -> None:
        while True:
            seen.add(len(server.broker.vhosts["/"].queues))
            await trio.lowlevel.checkpoint()

    nursery.start_soon(look)
    await answer_to(path, command="import_definitions", content=definitions(f"q{i}" for i in range(QUEUES)))
    assert len(server.broker.vhosts["/"].queues) == QUEUES
    assert len(seen) > QUEUES / 2


async def test_a_file_with_an_error_changes_nothing(server: Server, path: Path) -> None:
    content = definitions([*(f"q{i}" for i in range(QUEUES)), "x" * 300])
    with pytest.raises(asking.FailedError, match=rf"\$\.queues\[{QUEUES}\]") as raised:
        await answer_to(path, command="import_definitions", content=content)
    assert raised.value.status == 65
    assert not server.broker.vhosts["/"].queues


async def test_more_than_fits_is_refused_before_it_is_read(
    server: Server, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "LARGEST_CONTENT_OCTETS", 1024)
    with pytest.raises(asking.FailedError, match="MiB is not taken"):
        await answer_to(path, command="import_definitions", content=bytes(4 * 1024 * 1024))
    assert await answer_to(path, command="ping") == ["Ping succeeded"]


@pytest.mark.parametrize("line", [b"{}\n", b"x\n", b"[]\n", b'{"command": "ping", "content_octets": "x"}\n', b""])
async def test_a_request_without_a_form_is_refused(server: Server, path: Path, line: bytes) -> None:
    def send() -> bytes:
        (found,) = path.glob("*.sock")
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(DEADLINE_S)
            connection.connect(str(found))
            connection.sendall(line)
            connection.shutdown(socket.SHUT_WR)
            return b"".join(iter(partial(connection.recv, 4096), b""))

    answer = await trio.to_thread.run_sync(send)
    assert (json.loads(answer)["exit"] == 64) if line else answer == b""
    assert await answer_to(path, command="ping") == ["Ping succeeded"]


async def test_work_in_steps_gives_what_it_returns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "SLICE_S", 0.0)

    def work() -> Any:
        yield
        yield
        return 5

    assert await turns.in_turns(work()) == 5
