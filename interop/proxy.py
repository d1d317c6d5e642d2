"""A TCP proxy that does to connections what networks do: slow, cut into pieces, joined, cut off, or gone silent.

One for a test: clients get `url`, which leads to the broker through it. Threads and plain sockets: it must not share a
loop with the client that it torments.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Iterator
from urllib.parse import urlsplit, urlunsplit

import attrs

READ_OCTETS = 65536
JOIN_DEADLINE_S = 10.0


@attrs.frozen
class Weather:
    """What happens to octets on their way.

    Attributes:
        delay_s: before each piece is handed on.
        piece_octets: handed on so many at a time; 0 for as they came.
        gather_s: what comes within that time is handed on together.
        cut_after: octets from client to broker after which a connection breaks; None for never.
        cut_answers_after: the same from broker to client.
    """

    delay_s: float = 0.0
    piece_octets: int = 0
    gather_s: float = 0.0
    cut_after: int | None = None
    cut_answers_after: int | None = None


class Proxy:
    """A listening socket in front of a broker.

    Attributes:
        url: as the broker's, but to here.
        weather: for connections from now on.
        accepted: how many there have been.
    """

    def __init__(self, url: str, weather: Weather) -> None:
        parts = urlsplit(url)
        self.weather = weather
        self.accepted = 0
        self._parted = (False, False)
        self._target = (parts.hostname or "127.0.0.1", parts.port or 5672)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._port = port = self._listener.getsockname()[1]
        login = parts.netloc.rpartition("@")[0]
        self.url = urlunsplit(parts._replace(netloc=f"{login}@127.0.0.1:{port}" if login else f"127.0.0.1:{port}"))
        self._pairs: list[_Pair] = []
        self._lock = threading.Lock()
        self._thread = self._accepting()

    def lead_to(self, url: str) -> None:
        """New connections go to another broker, as when one comes back at another port."""
        parts = urlsplit(url)
        self._target = (parts.hostname or "127.0.0.1", parts.port or 5672)
        if not self._thread.is_alive():
            self._listener.listen()
            self._thread = self._accepting()

    def refuse(self) -> None:
        """New connections are refused, as where nobody listens, until `lead_to`. The port stays ours."""
        self._stop_listening()
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(("127.0.0.1", self._port))

    def cut(self) -> None:
        """Break all connections there are, with a reset on both sides."""
        for pair in self._take_pairs():
            pair.reset()

    def go_silent(self) -> None:
        """Let nothing pass on the connections there are, without closing them: a cable is out."""
        self._silence(requests=True, answers=True)

    def part(self, *, requests: bool = True, answers: bool = True) -> None:
        """Let nothing pass until `heal`, on new connections neither, from clients or to them, or both."""
        self._parted = (requests, answers)
        self._silence(requests=requests, answers=answers)

    def heal(self) -> None:
        """Let new connections pass; those that were silent, and have lost octets, break."""
        self._parted = (False, False)
        self.cut()

    def _silence(self, *, requests: bool, answers: bool) -> None:
        with self._lock:
            for pair in self._pairs:
                pair.silence(requests=requests, answers=answers)

    def close(self) -> None:
        """Break everything and listen no more."""
        self._stop_listening()
        for pair in self._take_pairs():
            pair.reset()
            pair.join()

    def _accepting(self) -> threading.Thread:
        thread = threading.Thread(target=self._accept, daemon=True)
        thread.start()
        return thread

    def _stop_listening(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(JOIN_DEADLINE_S)

    def _take_pairs(self) -> list[_Pair]:
        with self._lock:
            pairs, self._pairs = self._pairs, []
        return pairs

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                broker = socket.create_connection(self._target)
            except OSError:
                _reset(client)
                continue
            self.accepted += 1
            with self._lock:
                pair = _Pair(client, broker, self.weather)
                pair.silence(requests=self._parted[0], answers=self._parted[1])
                self._pairs.append(pair)


class _Pair:
    """A connection from a client and the one to the broker that belongs to it."""

    def __init__(self, client: socket.socket, broker: socket.socket, weather: Weather) -> None:
        self._are_lost = {client: False, broker: False}
        """Whether what comes from there gets lost."""
        self._sockets = (client, broker)
        for sock in self._sockets:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._threads = [
            threading.Thread(target=self._pump, args=(client, broker, weather, weather.cut_after), daemon=True),
            threading.Thread(target=self._pump, args=(broker, client, weather, weather.cut_answers_after), daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def silence(self, *, requests: bool, answers: bool) -> None:
        """Lose from now on what the client sends, or the broker."""
        client, broker = self._sockets
        self._are_lost[client] |= requests
        self._are_lost[broker] |= answers

    def reset(self) -> None:
        for sock in self._sockets:
            _reset(sock)

    def join(self) -> None:
        for thread in self._threads:
            thread.join(JOIN_DEADLINE_S)

    def _pump(self, source: socket.socket, target: socket.socket, weather: Weather, cut_after: int | None) -> None:
        passed = 0
        try:
            while data := source.recv(READ_OCTETS):
                if weather.gather_s:
                    data += _more(source, weather.gather_s)
                if cut_after is not None and passed + len(data) > cut_after:
                    target.sendall(data[: cut_after - passed])
                    self.reset()
                    return
                passed += len(data)
                step = weather.piece_octets or len(data)
                for at in range(0, len(data), step):
                    if weather.delay_s:
                        time.sleep(weather.delay_s)
                    if not self._are_lost[source]:
                        target.sendall(data[at : at + step])
            if not self._are_lost[source]:
                target.shutdown(socket.SHUT_WR)
        except OSError:
            self.reset()


def _more(source: socket.socket, seconds: float) -> bytes:
    """What comes within so many seconds."""
    ends_at = time.monotonic() + seconds
    data = b""
    while (left := ends_at - time.monotonic()) > 0:
        source.settimeout(left)
        try:
            piece = source.recv(READ_OCTETS)
        except TimeoutError:
            break
        finally:
            source.settimeout(None)
        if not piece:
            break
        data += piece
    return data


def _reset(sock: socket.socket) -> None:
    """Close with a reset, and wake up whoever reads from it."""
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.shutdown(socket.SHUT_RDWR)
    sock.close()


@contextlib.contextmanager
def proxied(url: str, weather: Weather = Weather()) -> Iterator[Proxy]:
    """A proxy in front of a broker."""
    proxy = Proxy(url, weather)
    try:
        yield proxy
    finally:
        proxy.close()
