"""Addresses, Unix-domain sockets, and what systemd hands over and hears."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from amqp_broker.config import Config, Listener
from amqp_broker.net.doors import ListenError, open_doors
from amqp_broker.net.systemd import Inherited, Notifier, inherited_sockets
from amqp_broker.server import Server
from tests.support.wire import Dial, WireClient

DEADLINE_S = 10


async def test_several_addresses_at_once(nursery: trio.Nursery, dial: Dial) -> None:
    server = Server(
        Config(
            port=0,
            listeners=(Listener(port=0), Listener(host="127.0.0.2", port=0)),
            management_port=None,
            metrics_port=None,
        )
    )
    await nursery.start(server.run)
    assert len(server.urls) == 3
    for url in server.urls:
        host, _, port = url.removeprefix("amqp://").rpartition(":")
        await (await dial(host, int(port))).open()


async def test_a_unix_socket_is_for_its_owner_and_goes_with_the_broker(nursery: trio.Nursery, tmp_path: Path) -> None:
    path = tmp_path / "amqp.sock"
    server = Server(Config(port=None, listeners=(Listener(path=path),), management_port=None, metrics_port=None))
    await nursery.start(server.run)
    assert server.urls == [f"amqp+unix://{path}"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    async with await trio.open_unix_socket(path) as stream:
        client = WireClient(stream)
        await client.open()
        assert [str(one) for one in server.broker.clients] == ["local"]
        await client.close()
    server.stop()
    with trio.fail_after(DEADLINE_S):
        await server.stopped.wait()
    assert not path.exists()


async def test_a_socket_that_is_left_makes_room_and_one_in_use_does_not(tmp_path: Path) -> None:
    path = tmp_path / "amqp.sock"
    config = Config(port=None, listeners=(Listener(path=path),), management_port=None, metrics_port=None)
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(path))
    left.close()
    (door,) = await open_doors(config)
    with pytest.raises(ListenError, match="in use"):
        await open_doors(config)
    await door.close()
    path.write_text("precious")
    with pytest.raises(ListenError, match="no socket"):
        await open_doors(config)
    assert path.read_text() == "precious"


async def test_when_one_address_fails_none_stays_open(tmp_path: Path) -> None:
    path = tmp_path / "amqp.sock"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        config = Config(port=None, listeners=(Listener(path=path), Listener(port=port)), management_port=None)
        with pytest.raises(ListenError) as failed:
            await open_doors(config)
    assert failed.value.listener.port == port
    assert not path.exists()


# systemd


def handed_over(names: str, sockets: list[socket.socket]) -> tuple[dict[str, str], int]:
    """Duplicates of sockets at neighbouring descriptors, and the environment that tells of them."""
    first = 200
    for index, sock in enumerate(sockets):
        os.dup2(sock.fileno(), first + index)
    environment = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(sockets)), "LISTEN_FDNAMES": names, "X": "y"}
    return environment, first


async def test_sockets_that_were_open_before_are_listened_on(dial: Dial) -> None:
    with socket.create_server(("127.0.0.1", 0)) as plain, socket.create_server(("127.0.0.1", 0)) as encrypted:
        environment, first = handed_over("amqp:amqps", [plain, encrypted])
        inherited = inherited_sockets(environment, first)
        assert environment == {"X": "y"}
        assert not os.get_inheritable(first)
        doors = await open_doors(Config(), inherited)
        assert [door.is_tls for door in doors] == [False, True]
        assert doors[0].url == f"amqp://127.0.0.1:{plain.getsockname()[1]}"
        client = await dial("127.0.0.1", plain.getsockname()[1])
        with trio.fail_after(DEADLINE_S):
            stream = await doors[0].listener.accept()
        await stream.aclose()
        await client.stream.aclose()
        for door in doors:
            await door.close()


@pytest.mark.parametrize(
    "environment", [{}, {"LISTEN_PID": "1", "LISTEN_FDS": "3"}, {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "x"}]
)
def test_what_is_meant_for_others_is_left_alone(environment: dict[str, str]) -> None:
    assert inherited_sockets(dict(environment)) == []


@pytest.mark.parametrize("abstract", [False, True])
async def test_systemd_hears_of_the_start_the_watchdog_and_the_stop(
    autojump_clock: MockClock, tmp_path: Path, abstract: bool
) -> None:
    name = f"@amqp-broker-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind("\0" + name[1:] if abstract else name)
        systemd.settimeout(DEADLINE_S)
        notifier = Notifier({"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "2000000", "WATCHDOG_PID": str(os.getpid())})
        notifier.tell("READY=1")
        began_at = trio.current_time()
        with trio.move_on_after(3.5):
            await notifier.feed_watchdog()
        assert trio.current_time() - began_at == pytest.approx(3.5)
        heard = [systemd.recv(100) for _ in range(5)]
    assert heard == [b"READY=1"] + [b"WATCHDOG=1"] * 4
    notifier.tell("STOPPING=1")  # nobody listens any more


async def test_without_systemd_there_is_nobody_to_tell() -> None:
    notifier = Notifier({})
    notifier.tell("READY=1")
    await notifier.feed_watchdog()
    other = Notifier({"NOTIFY_SOCKET": "/nowhere", "WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"})
    await other.feed_watchdog()


def test_an_inherited_socket_keeps_its_name() -> None:
    with socket.socket() as sock:
        assert Inherited(sock, "amqp").name == "amqp"
