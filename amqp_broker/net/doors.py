"""What is listened on: TCP addresses, Unix-domain sockets, and sockets that systemd has opened."""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import attrs
import trio

from amqp_broker.config import Config, Listener
from amqp_broker.net.systemd import Inherited

BACKLOG: Final = 1024

TLS_SOCKET_NAME: Final = "amqps"
"""The `FileDescriptorName=` of a socket that is to speak TLS."""


class ListenError(Exception):
    """Something can't be listened on.

    Attributes:
        listener: what it was to be.
        cause: why not.
        option: what chooses another port.
    """

    def __init__(self, listener: Listener, cause: OSError, option: str | None = None) -> None:
        super().__init__(f"{shown(listener)}: {cause}")
        self.listener = listener
        self.cause = cause
        self.option = option or ("--tls-port" if listener.is_tls else "--port")


@attrs.frozen
class Door:
    """An open listening socket, and what is spoken there.

    Attributes:
        url: where clients find it.
        path: of a Unix-domain socket this process has made and takes away again.
    """

    listener: trio.SocketListener
    url: str
    is_tls: bool = False
    is_proxied: bool = False
    path: Path | None = None

    async def close(self) -> None:
        await self.listener.aclose()
        if self.path is not None:
            self.path.unlink(missing_ok=True)


async def open_doors(config: Config, inherited: Sequence[Inherited] = ()) -> list[Door]:
    """Open all that is configured; sockets that were open before take its place.

    Raises:
        ListenError: one of them can't be; none is left open.
    """
    if inherited:
        return [_inherited_door(one) for one in inherited]
    doors: list[Door] = []
    try:
        for listener in config.all_listeners:
            try:
                doors += await _open(listener, config)
            except OSError as error:
                raise ListenError(listener, error) from error
    except BaseException:
        with trio.CancelScope(shield=True):
            for door in doors:
                await door.close()
        raise
    return doors


async def open_http(host: str, port: int, option: str) -> list[trio.SocketListener]:
    """Open a port for HTTP, on all addresses of the host. Raises ListenError."""
    try:
        return list(await trio.open_tcp_listeners(port, host=host or None, backlog=BACKLOG))
    except OSError as error:
        raise ListenError(Listener(host=host, port=port), error, option) from error


def shown(listener: Listener) -> str:
    """An address as messages show it."""
    return str(listener.path) if listener.path is not None else f"{_shown_host(listener.host)}:{listener.port}"


async def _open(listener: Listener, config: Config) -> list[Door]:
    if listener.path is not None:
        opened = [_listen_at(listener.path, config.unix_socket_mode)]
    else:
        opened = await trio.open_tcp_listeners(listener.port, host=listener.host or None, backlog=BACKLOG)
    return [
        Door(one, _url(one, listener.is_tls, listener.host), listener.is_tls, listener.is_proxied, listener.path)
        for one in opened
    ]


def _listen_at(path: Path, mode: int) -> trio.SocketListener:
    """Make a Unix-domain socket; one that is left of a broker which is gone makes room."""
    _remove_stale(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # Until it listens nobody can connect, so nobody can be faster than the mode.
        sock.bind(str(path))
        path.chmod(mode)
        sock.listen(BACKLOG)
        sock.setblocking(False)
        return trio.SocketListener(trio.socket.from_stdlib_socket(sock))
    except BaseException:
        sock.close()
        raise


def _remove_stale(path: Path) -> None:
    """Take a dead socket away. Raises OSError when somebody listens there, or it is something else."""
    try:
        if not stat.S_ISSOCK(path.stat().st_mode):
            raise OSError(errno.EEXIST, "is there already, and is no socket", str(path))
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.connect(str(path))
    except FileNotFoundError:
        return
    except ConnectionRefusedError:
        path.unlink()
        return
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE), str(path))


def _inherited_door(inherited: Inherited) -> Door:
    sock = inherited.socket
    sock.setblocking(False)
    listener = trio.SocketListener(trio.socket.from_stdlib_socket(sock))
    is_tls = inherited.name.partition(".")[0] == TLS_SOCKET_NAME
    return Door(listener, _url(listener, is_tls, ""), is_tls)


def _url(listener: trio.SocketListener, is_tls: bool, host: str) -> str:
    address = listener.socket.getsockname()
    scheme = "amqps" if is_tls else "amqp"
    if isinstance(address, tuple):
        return f"{scheme}://{_shown_host(host or address[0])}:{address[1]}"
    return f"{scheme}+unix://{address}"


def _shown_host(host: str) -> str:
    return f"[{host}]" if ":" in host else host
