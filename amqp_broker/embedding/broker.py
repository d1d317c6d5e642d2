"""A running broker in the hands of the program that embeds it."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Final, TypeVar
from urllib.parse import quote, urlsplit

import trio

from amqp_broker.administration import permissions, vhosts
from amqp_broker.administration.importing import import_definitions
from amqp_broker.embedding import views
from amqp_broker.embedding.clock import Clock, Duration, MovableClock, seconds
from amqp_broker.embedding.definitions import Definitions, for_vhost, read
from amqp_broker.embedding.errors import BrokerCrashedError, BrokerStoppedError
from amqp_broker.embedding.faults import ConfirmMode, Faults
from amqp_broker.errors import AMQPError
from amqp_broker.message import new_message
from amqp_broker.queues.queue import Queue
from amqp_broker.server import Server
from amqp_broker.session.connection import Connection
from amqp_broker.session.publishing import inspect
from amqp_broker.vhost import Vhost
from amqp_codec import Properties, Table, Value, encode_address, encode_content_header, parse_content_header

T = TypeVar("T")

LOOK_S: Final = 0.002
"""So often a wait looks whether it is over."""

QUIET_S: Final = 0.02
"""So long nothing must have moved before a broker counts as idle."""

CALL_TIMEOUT_S: Final = 30.0
"""No question to a broker takes longer, unless its loop hangs."""


class Loop:
    """The way into the broker's event loop, from the loop itself or from another thread.

    Attributes:
        crash: what has ended the broker, if it was an error.
    """

    def __init__(self, server: Server, clock: MovableClock) -> None:
        self.server = server
        self.clock = clock
        self.faults = Faults(server)
        self.crash: BaseException | None = None
        self.is_running = True
        self._token = trio.lowlevel.current_trio_token()
        self._thread = threading.get_ident()

    @property
    def is_here(self) -> bool:
        """Whether the caller is in the broker's thread."""
        return threading.get_ident() == self._thread

    def call(self, function: Callable[[], T]) -> T:
        """Do something in the broker's loop, and give what it gave.

        Raises:
            BrokerStoppedError: the broker has ended.
            BrokerCrashedError: it has ended by an error.
        """
        self.check()
        if self.is_here:
            return function()
        future: Future[T] = Future()

        def work() -> None:
            try:
                future.set_result(function())
            except BaseException as error:
                future.set_exception(error)

        try:
            self._token.run_sync_soon(work)
        except trio.RunFinishedError:
            self.check()
            raise BrokerStoppedError("the broker has stopped") from None
        deadline = time.monotonic() + CALL_TIMEOUT_S
        while True:
            try:
                return future.result(0.1)
            except TimeoutError:
                if future.done():
                    raise  # the function's own
                self.check()
                if time.monotonic() >= deadline:
                    raise BrokerStoppedError("the broker does not answer") from None

    def check(self) -> None:
        """Raises BrokerCrashedError or BrokerStoppedError unless the broker runs."""
        if self.crash is not None:
            raise BrokerCrashedError("the embedded broker has crashed") from self.crash
        if not self.is_running:
            raise BrokerStoppedError("the broker has stopped")


class QueueHandle:
    """One queue by name, whether it is there or not; each attribute asks the broker anew.

    Raises, on every attribute but `exists`:
        LookupError: there is no such queue.
    """

    def __init__(self, broker: EmbeddedBroker, name: str) -> None:
        self._broker = broker
        self.name = name

    @property
    def exists(self) -> bool:
        return self._broker._call(lambda: self.name in self._broker._vhost().queues)

    @property
    def messages(self) -> list[views.MessageView]:
        """The ready messages, the next one first; all that are kept where it is a stream."""
        return self._ask(views.messages_of)

    @property
    def message_count(self) -> int:
        """Ready messages."""
        return self._ask(lambda queue: queue.message_count)

    @property
    def unacked_count(self) -> int:
        return self._ask(lambda queue: queue.unacked_count)

    @property
    def bindings(self) -> list[views.BindingView]:
        """What leads here, the default exchange apart."""
        return self._ask(lambda queue: views.bindings_of(self._broker._vhost(), queue))

    @property
    def consumers(self) -> list[views.ConsumerView]:
        return self._ask(lambda queue: views.consumers_of(self._broker._loop.server.broker, queue))

    @property
    def arguments(self) -> dict[str, Value]:
        return self._ask(lambda queue: dict(queue.arguments))

    @property
    def published_count(self) -> int:
        """Messages that have come since it was made."""
        return self._ask(lambda queue: queue.statistics().publish)

    def purge(self) -> int:
        """Drop the ready messages; gives their number."""
        return self._ask(lambda queue: queue.purge())

    def _ask(self, question: Callable[[Queue], T]) -> T:
        def ask() -> T:
            queue = self._broker._vhost().queues.get(self.name)
            if queue is None:
                raise LookupError(f"no queue {self.name!r} in vhost {self._broker.vhost!r}")
            return question(queue)

        return self._broker._call(ask)


class EmbeddedBroker:
    """A running broker, and one of its vhosts. All of it may be used from any thread.

    Attributes:
        vhost: the vhost that queues, waits and `url` mean.
        clock: what TTLs, leases, delays and consumer timeouts go by.
    """

    def __init__(self, loop: Loop, vhost: str) -> None:
        self._loop = loop
        self.vhost = vhost
        self.clock = Clock(loop.clock, self._call)

    # Where it is

    @property
    def host(self) -> str:
        return self._address[0]

    @property
    def port(self) -> int:
        return self._address[1]

    @property
    def user(self) -> str:
        return self._loop.server.config.default_user

    @property
    def password(self) -> str:
        return self._loop.server.config.default_password

    @property
    def url(self) -> str:
        """Where clients find this vhost, with user and password."""
        address = urlsplit(self._loop.server.urls[0]).netloc
        return f"amqp://{quote(self.user, '')}:{quote(self.password, '')}@{address}/{quote(self.vhost, '')}"

    @property
    def management_url(self) -> str | None:
        """The HTTP API and its pages, without a slash at the end; None without them."""
        if self._loop.server.config.management_port is None:
            return None
        return next(url.rstrip("/") for url in self._loop.server.urls if url.startswith("http"))

    @property
    def _address(self) -> tuple[str, int]:
        parts = urlsplit(self._loop.server.urls[0])
        return parts.hostname or "", parts.port or 0

    # What is in it

    def queue(self, name: str) -> QueueHandle:
        return QueueHandle(self, name)

    @property
    def queues(self) -> list[views.QueueState]:
        """All queues of the vhost, by name."""
        return self._call(
            lambda: [views.state_of(queue) for _, queue in sorted(self._vhost().queues.items())],
        )

    @property
    def exchanges(self) -> list[str]:
        """The names of the exchanges that are not there from the beginning."""
        return self._call(lambda: [name for name in self._vhost().exchanges if not Vhost.is_predeclared(name)])

    @property
    def connections(self) -> list[views.ConnectionView]:
        """The clients of the vhost."""
        return self._call(lambda: [views.connection_view(client) for client in self._clients()])

    def describe(self) -> str:
        """Queues and connections in a line each, for people."""
        queues, clients = self.queues, self.connections
        lines = [f"vhost {self.vhost!r}: {len(queues)} queues, {len(clients)} connections"]
        lines += [f"  queue {queue}" for queue in queues]
        lines += [
            f"  connection {client.name} {client.client_name}".rstrip() + (" (blocked)" if client.is_blocked else "")
            for client in clients
        ]
        return "\n".join(lines)

    # What is done to it

    def publish(
        self,
        body: bytes | str,
        routing_key: str,
        *,
        exchange: str = "",
        headers: Mapping[str, Value] | None = None,
        **properties: Any,
    ) -> bool:
        """Put a message in, as a client would.

        Args:
            body: text becomes UTF-8.
            routing_key: with the default exchange the name of a queue.
            exchange: has to be there.
            headers: text may be `str`.
            properties: of the message, such as `content_type`, `expiration`, `delivery_mode`.

        Returns:
            Whether it has reached a queue.

        Raises:
            LookupError: there is no such exchange.
            ValueError: a property can't be that.
        """
        octets = body.encode() if isinstance(body, str) else bytes(body)
        table: Table | None = (
            None
            if headers is None
            else {key: value.encode() if isinstance(value, str) else value for key, value in headers.items()}
        )
        header = parse_content_header(encode_content_header(Properties(headers=table, **properties), len(octets)))

        def put() -> bool:
            vhost = self._vhost()
            if exchange not in vhost.exchanges:
                raise LookupError(f"no exchange {exchange!r} in vhost {self.vhost!r}")
            message = new_message(encode_address(exchange, routing_key), header, octets)
            try:
                inspect(message, None)
            except AMQPError as error:
                raise ValueError(error.reply_text) from None
            route = vhost.route(vhost.exchanges[exchange], message.routing_keys, message.header.properties)
            vhost.publish(message, route.queues)
            return route.is_routed

        return self._call(put)

    def load_definitions(self, definitions: Definitions) -> None:
        """Import definitions: in RabbitMQ's form, as a dict, a path or JSON. Raises InvalidDefinitionsError."""
        document = read(definitions)
        self._call(lambda: import_definitions(self._loop.server.broker, document))

    def load_definitions_here(self, definitions: Definitions) -> None:
        """Import the exchanges, queues, bindings and policies of one vhost, whatever its name, into this one.

        Raises:
            InvalidDefinitionsError: they can't be imported.
            ValueError: they are those of several vhosts, and none of them is `/`.
        """
        document = for_vhost(read(definitions))
        self._call(lambda: import_definitions(self._loop.server.broker, document, self.vhost))

    def drop_connections(self, *, name: str | None = None, abort: bool = False) -> int:
        """Close clients of the vhost; gives how many.

        Args:
            name: only those that call themselves so, or have this for a name.
            abort: close the socket without a word, as a network that fails does; else with 320.
        """

        def drop() -> int:
            chosen = []
            for client in self._clients():
                view = views.connection_view(client)
                if name is None or name in (view.name, view.client_name):
                    chosen.append(client)
            for client in chosen:
                if abort:
                    client.edge.abort()
                else:
                    client.force_close("dropped by the program that embeds the broker")
            return len(chosen)

        return self._call(drop)

    @contextlib.contextmanager
    def alarm(self, resource: str = "memory") -> Iterator[None]:
        """While it lasts publishers are blocked, by "memory" or by "disk"."""
        self.set_alarm(resource, True)
        try:
            yield
        finally:
            self.set_alarm(resource, False)

    def set_alarm(self, resource: str, is_on: bool) -> None:
        """Raise an alarm, "memory" or "disk", or take back that it was raised."""
        if resource not in ("memory", "disk"):
            raise ValueError(f"expected memory or disk, found {resource!r}")
        self._call(lambda: self._loop.faults.set_alarm(resource, is_on))

    @contextlib.contextmanager
    def logins_refused(self) -> Iterator[None]:
        """While it lasts nobody can log in; who is there stays."""
        self._call(lambda: self._loop.faults.refuse_logins(True))
        try:
            yield
        finally:
            self._call(lambda: self._loop.faults.refuse_logins(False))

    @contextlib.contextmanager
    def confirms_refused(self) -> Iterator[None]:
        """While it lasts every publish is answered with a nack; the messages arrive nevertheless."""
        with self._confirms(ConfirmMode.REFUSED):
            yield

    @contextlib.contextmanager
    def confirms_held(self) -> Iterator[None]:
        """While it lasts no publish is confirmed; what has gathered leaves in the end."""
        with self._confirms(ConfirmMode.HELD):
            yield

    @contextlib.contextmanager
    def confirms_delayed(self, by: Duration) -> Iterator[None]:
        """While it lasts confirms come that much later, by the broker's clock."""
        with self._confirms(ConfirmMode.DELAYED, seconds(by)):
            yield

    @contextlib.contextmanager
    def _confirms(self, mode: ConfirmMode, delay_s: float = 0.0) -> Iterator[None]:
        self._call(lambda: self._loop.faults.set_confirms(mode, delay_s))
        try:
            yield
        finally:
            self._call(lambda: self._loop.faults.set_confirms(ConfirmMode.NORMAL))

    def mend(self) -> None:
        """Take back all that was done to make things fail, and let the clock run."""
        self._call(self._loop.faults.clear)
        self.clock.resume()

    # Waiting

    def wait_for(
        self,
        queue: str | None = None,
        *,
        count: int | None = None,
        consumers: int | None = None,
        connections: int | None = None,
        condition: Callable[[], object] | None = None,
        timeout: Duration = 5.0,
    ) -> None:
        """Wait until all of this is true at once; blocks the thread.

        Args:
            queue: is there, and
            count: so many messages are ready in it, or more,
            consumers: so many consumers have subscribed to it, or more;
            connections: so many clients are in the vhost, or more;
            condition: anything else, called now and then until what it gives is true.
            timeout: in real time.

        Raises:
            TimeoutError: it did not become true; the text says how things are.
            RuntimeError: called in the broker's own event loop, which would wait for itself: `wait_for_async`.
        """
        look = self._look(queue, count, consumers, connections, condition)
        self._wait(look, timeout, lambda: f"waited in vain for {_wanted(queue, count, consumers, connections)}")

    async def wait_for_async(
        self,
        queue: str | None = None,
        *,
        count: int | None = None,
        consumers: int | None = None,
        connections: int | None = None,
        condition: Callable[[], object] | None = None,
        timeout: Duration = 5.0,  # noqa: ASYNC109 - the same words as without async
    ) -> None:
        """`wait_for` for programs on asyncio and trio, which go on meanwhile."""
        look = self._look(queue, count, consumers, connections, condition)
        text = f"waited in vain for {_wanted(queue, count, consumers, connections)}"
        await self._wait_async(look, timeout, lambda: text)

    def wait_until_idle(self, timeout: Duration = 5.0) -> None:
        """Wait until nothing is on its way in this vhost; blocks the thread.

        That is: queues with consumers are empty, nothing is unacked or unconfirmed, and nothing has come or gone for
        some 20 ms.

        Raises:
            TimeoutError: something still moves or waits; the text says what.
        """
        self._wait(self._idle(), timeout, lambda: "not idle")

    async def wait_until_idle_async(self, timeout: Duration = 5.0) -> None:  # noqa: ASYNC109 - as above
        """`wait_until_idle` for programs on asyncio and trio."""
        await self._wait_async(self._idle(), timeout, lambda: "not idle")

    def _wait(self, look: Callable[[], bool], timeout: Duration, text: Callable[[], str]) -> None:
        if self._loop.is_here:
            raise RuntimeError("the broker is in this event loop and would wait for itself; await the async form")
        deadline = time.monotonic() + seconds(timeout)
        while not look():
            if time.monotonic() >= deadline:
                raise TimeoutError(f"{text()}\n{self.describe()}")
            time.sleep(LOOK_S)

    async def _wait_async(self, look: Callable[[], bool], timeout: Duration, text: Callable[[], str]) -> None:  # noqa: ASYNC109
        sleep = asyncio.sleep if _is_asyncio() else trio.sleep
        deadline = time.monotonic() + seconds(timeout)
        await sleep(0)
        while not look():
            if time.monotonic() >= deadline:
                raise TimeoutError(f"{text()}\n{self.describe()}")
            await sleep(LOOK_S)

    def _look(
        self,
        queue: str | None,
        count: int | None,
        consumers: int | None,
        connections: int | None,
        condition: Callable[[], object] | None,
    ) -> Callable[[], bool]:
        if queue is None and (count is not None or consumers is not None):
            raise TypeError("count and consumers are those of a queue: name it")

        def look() -> bool:
            if connections is not None and len(self._clients()) < connections:
                return False
            if queue is None:
                return True
            there = self._vhost().queues.get(queue)
            return (
                there is not None and there.message_count >= (count or 0) and len(there.consumers) >= (consumers or 0)
            )

        return lambda: self._call(look) and (condition is None or bool(condition()))

    def _idle(self) -> Callable[[], bool]:
        seen: Sequence[int] = ()
        since = 0.0

        def look() -> bool:
            nonlocal seen, since
            broker, vhost = self._loop.server.broker, self._vhost()
            activity, now = views.activity(vhost, broker), time.monotonic()
            if activity != seen or not views.is_idle(vhost, broker):
                seen, since = activity, now
                return False
            return now - since >= QUIET_S

        return lambda: self._call(look)

    # Vhosts

    @contextlib.contextmanager
    def fresh_vhost(self, name: str) -> Iterator[EmbeddedBroker]:
        """A vhost of its own on this broker, gone with all that is in it when the block ends."""
        self._call(lambda: self._add_vhost(name))
        there = EmbeddedBroker(self._loop, name)
        try:
            yield there
        finally:
            there.mend()
            self._call(lambda: self._delete_vhost(name))

    def _add_vhost(self, name: str) -> None:
        broker = self._loop.server.broker
        vhosts.add_vhost(broker, name)
        permissions.set_permissions(broker, self.user, name, *broker.config.default_permissions)

    def _delete_vhost(self, name: str) -> None:
        broker = self._loop.server.broker
        left = views.connections(broker, name)
        if name in broker.vhosts:
            vhosts.delete_vhost(broker, name)
        for client in left:
            # One that does not read would hold its socket for half a minute.
            broker.connection_timers.after(QUIET_S, client.edge.abort)

    # In the broker's loop

    def _call(self, function: Callable[[], T]) -> T:
        return self._loop.call(function)

    def _vhost(self) -> Vhost:
        vhost = self._loop.server.broker.vhosts.get(self.vhost)
        if vhost is None:
            raise LookupError(f"no vhost {self.vhost!r}")
        return vhost

    def _clients(self) -> list[Connection]:
        return views.connections(self._loop.server.broker, self.vhost)


def _is_asyncio() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _wanted(queue: str | None, count: int | None, consumers: int | None, connections: int | None) -> str:
    wanted = [] if connections is None else [f"{connections} connections"]
    if queue is not None:
        wanted.append(f"queue {queue!r}")
        wanted += [] if count is None else [f"{count} messages"]
        wanted += [] if consumers is None else [f"{consumers} consumers"]
    return ", ".join(wanted) or "a condition"
