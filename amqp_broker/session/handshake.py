"""What comes first on a connection: protocol header, login, tuning, and the vhost it is to be in (rules 1.1 to 1.23).

Who the client is, and whether it may open the vhost, backends may take a while to say; until then nothing is read.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from amqp_broker.auth.backend import Identity
from amqp_broker.errors import AMQPError, not_allowed
from amqp_broker.events import EventKind
from amqp_broker.placement import Placement
from amqp_broker.session import login, news
from amqp_broker.session.handing_over import HandingOver
from amqp_broker.session.state import State
from amqp_broker.timers import Timer
from amqp_broker.vhost import Vhost
from amqp_codec import (
    PROTOCOL_HEADER,
    PROTOCOL_HEADER_0_9,
    ConnectionOpen,
    ConnectionOpenOk,
    ConnectionStartOk,
    ConnectionTune,
    ConnectionTuneOk,
    ConnectionUpdateSecret,
    ConnectionUpdateSecretOk,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from amqp_broker.session.connection import Connection

log = logging.getLogger(__name__)

T = TypeVar("T")


class Handshake:
    """Brings a connection from its first octet to an open vhost, and renews its secret later.

    Args:
        connection: whose.
        timeout_s: for all of it.

    Attributes:
        is_waiting: a backend is finding out who the client is, or whether it may open the vhost; or it is not known yet
            which node of the cluster has that.
        handing_over: the search for that node.
    """

    def __init__(self, connection: Connection, timeout_s: float) -> None:
        self._connection = connection
        self._header = b""
        self._expiry: Timer | None = None
        self.is_waiting = False
        self.handing_over: HandingOver | None = None
        self._start_ok: ConnectionStartOk | None = None
        self._tune_ok: ConnectionTuneOk | None = None
        connection.ending.drop_after(timeout_s, self._too_slow)

    def stop(self) -> None:
        """The client is gone: its login needs no end."""
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None
        if self.handing_over is not None:
            self.handing_over.stop()

    def skip_login(self, identity: Identity, name: str) -> None:
        """Begin with tuning: the other end is in this process, and known. To be called before anything is received."""
        self._connection.client_properties = {"connection_name": name.encode()}
        self._become(identity)
        self._propose_tuning()

    def take_header(self, data: bytes | bytearray) -> bytes | bytearray:
        """Take the first eight octets; gives what came after them (rules 1.1 and 1.2)."""
        connection = self._connection
        missing = len(PROTOCOL_HEADER) - len(self._header)
        self._header += data[:missing]
        if len(self._header) < len(PROTOCOL_HEADER):
            return b""
        if self._header not in (PROTOCOL_HEADER, PROTOCOL_HEADER_0_9):
            log.warning("connection %s: refused, it speaks no AMQP 0-9-1: began with %r", connection, self._header)
            connection.outbox.push(PROTOCOL_HEADER)
            connection.ending.end()
            return b""
        connection.state = State.START
        connection.send(0, login.start(connection.config, connection.broker.cluster_name, connection.peer))
        return data[missing:]

    def on_start_ok(self, method: ConnectionStartOk) -> None:
        connection = self._connection
        connection.client_properties = method.client_properties
        if connection.broker.placement is not None:
            self._start_ok = method  # another node may have to hear it
        try:
            credentials = login.credentials(connection.config, method.mechanism, method.response, connection.peer)
        except login.LoginRefusedError as refusal:
            self._refuse_login(refusal)
            return
        self._await_answer(partial(connection.broker.auth.authenticate, credentials), partial(self._identified, method))

    def _identified(self, method: ConnectionStartOk, identity: Identity | None) -> None:
        connection = self._connection
        if identity is None or not connection.broker.users.may_come_from(identity.name, connection.peer):
            self._refuse_login(login.refused(method.mechanism))
            return
        self._become(identity)
        connection.auth_mechanism = method.mechanism
        connection.broker.events.emit(
            EventKind.USER_AUTHENTICATION_SUCCESS,
            name=connection.user,
            connection_name=connection.name,
            auth_mechanism=method.mechanism,
        )
        self._propose_tuning()

    def _propose_tuning(self) -> None:
        self._connection.state = State.TUNE
        self._connection.send(0, login.proposal(self._connection.config))

    def _refuse_login(self, refusal: login.LoginRefusedError) -> None:
        connection = self._connection
        connection.warn(str(refusal))
        connection.broker.events.emit(EventKind.USER_AUTHENTICATION_FAILURE, connection_name=connection.name)
        if refusal.answer is None or not connection.client_can("authentication_failure_close"):
            connection.ending.end_later()
            return
        delay_s = connection.broker.failed_logins.delay_s(connection.peer.address)
        if delay_s:
            self.is_waiting = True
            connection.broker.connection_timers.after(delay_s, partial(self._refuse_late, refusal.answer))
        else:
            connection.ending.close(refusal.answer, 0, 0)

    def _refuse_late(self, answer: AMQPError) -> None:
        """Refuse somebody who comes from where much was refused."""
        connection = self._connection
        self.is_waiting = False
        if connection.state is not State.ENDED:
            connection.ending.close(answer, 0, 0)
            connection.edge.reading_changed()

    def _become(self, identity: Identity) -> None:
        """Be that user from now on, until the login expires."""
        connection = self._connection
        connection.identity = identity
        connection.user = identity.name
        connection.broker.newcomers.pop(connection, None)
        self.stop()
        if identity.expires_at is not None:
            self._expiry = connection.broker.timers.at(identity.expires_at, self._login_expired)

    def _login_expired(self) -> None:
        connection = self._connection
        connection.warn(f"the credentials of user '{connection.user}' have expired")
        connection.force_close("credential expired")

    def _await_answer(self, ask: Callable[[Callable[[T], None]], None], then: Callable[[T], None]) -> None:
        """Ask a backend during the handshake, and go on with the answer; until it comes nothing is read.

        Args:
            ask: starts asking; its argument takes the answer, at once or later.
            then: what is done with the answer, unless the client is gone by then.
        """
        connection = self._connection
        is_late = False

        def answered(answer: T) -> None:
            self.is_waiting = False
            if connection.state is not State.ENDED:
                then(answer)
                if is_late and not self.is_waiting:
                    connection.receive(b"")
            connection.edge.reading_changed()

        self.is_waiting = True
        ask(answered)
        is_late = True

    def on_tune_ok(self, method: ConnectionTuneOk) -> None:
        connection = self._connection
        try:
            tuning = login.tuned(connection.config, method)
        except AMQPError as error:
            connection.warn(error.reply_text)
            connection.ending.close(error, ConnectionTune.class_id, ConnectionTune.method_id)
            return
        connection.tune(tuning)
        connection.state = State.OPEN
        self._tune_ok = method

    def on_open(self, method: ConnectionOpen) -> None:
        broker = self._connection.broker
        placement = broker.placement
        if placement is None or broker.is_here(method.virtual_host):
            self._open(method)
        else:
            self._find(method, placement)

    def _find(self, method: ConnectionOpen, placement: Placement) -> None:
        """Find the node that has the vhost. Raises AMQPError 530 when there is no such vhost."""
        connection = self._connection
        self._known_vhost(method)
        if connection.peer.came_through or self._start_ok is None:
            connection.edge.abort()  # it was here when the other node, or a link of our own, came: they find out again
            return
        assert self._tune_ok is not None
        said = self._start_ok, self._tune_ok, method
        self._start_ok = None
        self.handing_over = HandingOver(connection, placement, said, partial(self._open, method))
        self.handing_over.begin()

    def _open(self, method: ConnectionOpen) -> None:
        connection = self._connection
        limit = connection.config.max_connections
        if limit is not None and len(list(connection.broker.open_clients())) >= limit:
            raise not_allowed(f"connection refused: node connection limit ({limit}) is reached")
        vhost = self._known_vhost(method)
        connection.broker.check_limits(connection.user, vhost)
        assert connection.identity is not None
        may_open = partial(connection.identity.authorizer.may_open, connection.identity, vhost.name, connection.peer)
        self._await_answer(may_open, partial(self._opened, vhost))

    def _known_vhost(self, method: ConnectionOpen) -> Vhost:
        """The vhost that is to be opened. Raises AMQPError 530."""
        vhost = self._connection.broker.vhosts.get(method.virtual_host)
        if vhost is None:
            raise not_allowed(f"vhost {method.virtual_host} not found")
        return vhost

    def _opened(self, vhost: Vhost, may_open: bool) -> None:
        connection = self._connection
        if not may_open:
            text = f"access to vhost '{vhost.name}' refused for user '{connection.user}'"
            connection.ending.fail(not_allowed(text), ConnectionOpen.class_id, ConnectionOpen.method_id)
            return
        connection.ending.call_off()
        connection.enter(vhost)
        connection.send(0, ConnectionOpenOk())
        news.connection_created(connection)
        log.info("connection %s: user %r opened vhost %r", connection, connection.user, vhost.name)

    def on_update_secret(self, method: ConnectionUpdateSecret) -> None:
        """Take a new secret, and look again at what the user may do (rule 1.37)."""
        connection = self._connection
        identity, vhost = connection.identity, connection.vhost
        assert identity is not None
        assert vhost is not None

        def renewed(renewal: Identity | None) -> None:
            if connection.state is not State.RUNNING:
                return
            if renewal is None:
                self._refuse_secret("New secret was refused by one of the backends")
                return
            self._become(renewal)
            renewal.authorizer.may_open(renewal, vhost.name, connection.peer, decided)

        def decided(may_open: bool) -> None:
            if connection.state is not State.RUNNING:
                return
            if not may_open:
                self._refuse_secret(f"access to vhost '{vhost.name}' refused for user '{connection.user}'")
                return
            for channel in connection.channels.values():
                channel.rights_changed()
            connection.send(0, ConnectionUpdateSecretOk())

        identity.authorizer.renew(identity, method.new_secret, renewed)

    def _refuse_secret(self, text: str) -> None:
        self._connection.ending.fail(
            not_allowed(text), ConnectionUpdateSecret.class_id, ConnectionUpdateSecret.method_id
        )

    def _too_slow(self) -> None:
        connection = self._connection
        if self._header:
            log.warning("connection %s: no connection.open in time, dropped", connection)
        connection.edge.abort()
