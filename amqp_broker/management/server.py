"""Management and metrics at the edge: sockets that are open from the start, and what serves them once somebody comes.

The web server and its libraries take longer to import than the rest of the broker takes to start, so that
waits for the first client; until then the kernel keeps it waiting at the door.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Final

import attrs
import trio

from amqp_broker.config import MANAGEMENT_TLS_PORT, METRICS_TLS_PORT, Config, HttpsPort, TlsOptions
from amqp_broker.inspection.node import ListeningPort, Node
from amqp_broker.net.doors import Door, open_http
from amqp_broker.net.forwarding import Answer
from amqp_broker.net.tls import TlsKeeper
from amqp_broker.placement import Inquiry

SUBJECT: Final = "http"
"""Of the questions of other nodes that the API answers."""


class Questions:
    """What other nodes ask of the API, which may have to be loaded first.

    Attributes:
        came: set with the first.
    """

    def __init__(self) -> None:
        self.came = trio.Event()
        self._answer: Answer | None = None
        self._can_answer = trio.Event()

    def answer_with(self, answer: Answer) -> None:
        """From now on this answers."""
        self._answer = answer
        self._can_answer.set()

    async def __call__(self, inquiry: Inquiry, stream: trio.abc.HalfCloseableStream) -> None:
        self.came.set()
        await self._can_answer.wait()
        assert self._answer is not None
        await self._answer(inquiry, stream)


Serve = Callable[[Node, Sequence[Door], TlsKeeper | None, Questions], Awaitable[None]]


@attrs.frozen
class _Place:
    """Where a service is to be reached.

    Attributes:
        host: None for the broker's own.
        option: what chooses another port.
    """

    protocol: str
    host: str | None
    port: int
    default_port: int | None
    option: str
    is_tls: bool = False


@attrs.frozen
class HttpService:
    """What is served over HTTP, and the open ports for it.

    Attributes:
        path: where in it clients begin.
        load: imports what serves it.
        tls: for doors that speak TLS.
    """

    node: Node
    path: str
    load: Callable[[], Serve]
    tls: TlsKeeper | None
    doors: list[Door] = attrs.Factory(list)
    questions: Questions = attrs.Factory(Questions)

    async def open(self, place: _Place, *, is_anywhere: bool) -> list[ListeningPort]:
        """Open one more port; a free one instead of the default one, if it is anywhere. Raises ListenError."""
        host = self.node.broker.config.host if place.host is None else place.host
        port = 0 if is_anywhere and place.port == place.default_port else place.port
        shown = f"[{host}]" if ":" in host else host
        opened = []
        for listener in await open_http(host, port, place.option):
            there = _port(listener, place.protocol)
            url = f"{place.protocol.partition('/')[0]}://{shown}:{there.port}{self.path}"
            self.doors.append(Door(listener, url, place.is_tls))
            opened.append(there)
        return opened

    async def serve(self) -> None:
        """Serve until cancelled; closes the sockets."""
        try:
            async with trio.open_nursery() as nursery:
                for door in self.doors:
                    nursery.start_soon(_wait_for_client, door.listener, nursery.cancel_scope)
                nursery.start_soon(_wait_for_question, self.questions, nursery.cancel_scope)
            serve = await trio.to_thread.run_sync(self.load)
            await serve(self.node, self.doors, self.tls, self.questions)
        finally:
            await self.close()

    async def close(self) -> None:
        with trio.CancelScope(shield=True):
            for door in self.doors:
                await door.close()


async def open_http_services(
    node: Node, doors: Sequence[Door], tls: Mapping[TlsOptions, TlsKeeper]
) -> list[HttpService]:
    """Open the ports for management and metrics, those that there are to be, and tell the node of them and the doors.

    Raises:
        ListenError: one can't be listened on; none is left open.
    """
    config = node.broker.config
    # With --port 0 nobody knows the ports beforehand, so a default one would only be taken now and then.
    is_anywhere = any(listener.port == 0 for listener in config.all_listeners if listener.path is None)
    ports = [_amqp_port(door) for door in doors]
    management = HttpService(node, "", _load_management, _keeper(config.management_tls, tls))
    metrics = HttpService(node, "/metrics", _load_metrics, _keeper(config.metrics_tls, tls))
    try:
        for service, places in ((management, _management_places(config)), (metrics, _metrics_places(config))):
            for place in places:
                ports += await service.open(place, is_anywhere=is_anywhere)
    except BaseException:
        await management.close()
        await metrics.close()
        raise
    node.listeners = ports
    if node.cluster is not None:
        node.cluster.answer_with(SUBJECT, management.questions)
    return [service for service in (management, metrics) if service.doors or (service is management and node.cluster)]


def _keeper(https: HttpsPort | None, tls: Mapping[TlsOptions, TlsKeeper]) -> TlsKeeper | None:
    return None if https is None else tls[https.tls]


def _management_places(config: Config) -> Iterator[_Place]:
    default, port, https = Config().management_port, config.management_port, config.management_tls
    if port is not None:
        yield _Place("http", config.management_host, port, default, "--management-port")
    if https is not None:
        yield _Place("https", https.host, https.port, MANAGEMENT_TLS_PORT, "management.ssl.port", is_tls=True)


def _metrics_places(config: Config) -> Iterator[_Place]:
    default, port, https = Config().metrics_port, config.metrics_port, config.metrics_tls
    if port is not None:
        yield _Place("http/prometheus", config.metrics_host, port, default, "--metrics-port")
    if https is not None:
        yield _Place("https/prometheus", https.host, https.port, METRICS_TLS_PORT, "prometheus.ssl.port", is_tls=True)


def _amqp_port(door: Door) -> ListeningPort:
    return _port(door.listener, "amqp/ssl" if door.is_tls else "amqp")


def _port(listener: trio.SocketListener, protocol: str) -> ListeningPort:
    name = listener.socket.getsockname()
    return ListeningPort(protocol, name[0], name[1]) if isinstance(name, tuple) else ListeningPort(protocol, name, 0)


async def _wait_for_client(listener: trio.SocketListener, scope: trio.CancelScope) -> None:
    await trio.lowlevel.wait_readable(listener.socket)
    scope.cancel()


async def _wait_for_question(questions: Questions, scope: trio.CancelScope) -> None:
    await questions.came.wait()
    scope.cancel()


def _load_management() -> Serve:
    from amqp_broker.management.web import serve_management

    return serve_management


def _load_metrics() -> Serve:
    from amqp_broker.management.web import serve_metrics

    return serve_metrics
