"""Accept clients, whatever errors accepting may bring, and find out who speaks before AMQP begins.

What a client may cost before it has logged in is limited here: in number, in time, and in open files.
"""

from __future__ import annotations

import errno
import ipaddress
import logging
import ssl
from collections.abc import Callable
from typing import Any, Final

import attrs
import trio

from amqp_broker import resources
from amqp_broker.auth.users import Peer
from amqp_broker.broker import Broker
from amqp_broker.config import TlsOptions
from amqp_broker.net.certificate import user_in
from amqp_broker.net.connection import serve_client
from amqp_broker.net.doors import Door
from amqp_broker.net.forwarding import Forwarder, Gate, Visit, notice_death
from amqp_broker.net.hub import Hub
from amqp_broker.net.prelude import PreludeError
from amqp_broker.net.proxy_protocol import HeaderReader, ProxyProtocolError
from amqp_broker.net.suites import agreed
from amqp_broker.net.tls import TlsKeeper, TlsStream, reason_of

log = logging.getLogger(__name__)

OUT_OF_RESOURCES = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
RETRY_S = 0.1
"""How long to wait for a resource before accepting again; the existing clients go on meanwhile."""

COMPLAINT_S: Final = 60.0
"""How often at most it is said that connections are refused."""


class _RefusedError(Exception):
    """A client is not let in before it speaks AMQP; the text is for the log."""


@attrs.frozen
class Manners:
    """What comes before AMQP on a listener.

    Attributes:
        tls: None for plain TCP.
        tls_options: how a certificate names a user.
        is_proxied: a PROXY header comes first.
        gate: other nodes hand connections over here, and ask.
    """

    tls: TlsKeeper | None = None
    tls_options: TlsOptions | None = None
    is_proxied: bool = False
    gate: Gate | None = None

    @property
    def is_plain(self) -> bool:
        """AMQP begins at once."""
        return self.tls is None and not self.is_proxied and self.gate is None


class Reception:
    """Lets clients in; one for all listeners of a broker.

    Args:
        broker: whom they come to.
        open_files_limit: gives how many files the process may have open.
        hub: reads what they send; without one each has a task for that.
        forwarder: where clients of vhosts go that other nodes have.

    Attributes:
        callers: at the ports for other nodes, as long as it is not known who they are. They are counted by themselves:
            however many come to the ports for clients, nodes reach one another.
    """

    def __init__(
        self,
        broker: Broker,
        open_files_limit: Callable[[], int] | None = None,
        hub: Hub | None = None,
        forwarder: Forwarder | None = None,
    ) -> None:
        self._broker = broker
        self._forwarder = forwarder
        self._hub = hub
        self._open_files_limit = open_files_limit or resources.open_files_limit
        self._trusted = [ipaddress.ip_network(network) for network in broker.config.trusted_proxies]
        self.callers: dict[trio.SocketStream, None] = {}
        self._silent_until: dict[str, float] = {}

    async def accept(self, listener: trio.SocketListener, clients: trio.Nursery, manners: Manners) -> None:
        """Accept until cancelled; each client is served by a task in the nursery `clients`."""
        async with listener:
            while True:
                try:
                    stream = await listener.accept()
                except OSError as error:
                    if error.errno in OUT_OF_RESOURCES:
                        self._complain(error.strerror or str(error), "raise the limit of open files")
                        await trio.sleep(RETRY_S)
                    else:
                        log.debug("accept: %s", error)
                    continue
                if self._has_room(stream, manners):
                    clients.start_soon(self._serve, stream, manners)
                else:
                    stream.socket.close()

    def _has_room(self, stream: trio.SocketStream, manners: Manners) -> bool:
        """Whether one more client can be let in."""
        if self._broker.is_suspended and manners.gate is None:  # other nodes may always ask
            return False
        config = self._broker.config
        limit = config.max_unauthenticated_connections
        if len(self._broker.newcomers if manners.gate is None else self.callers) >= limit:
            self._complain(f"{limit} have not logged in yet", "see max_unauthenticated_connections")
            return False
        # A new file gets the lowest number that is free, so a high one means that many are open.
        files = self._open_files_limit()
        if stream.socket.fileno() >= files - config.reserved_files:
            self._complain(f"nearly {files} files are open", "raise the limit of open files")
            return False
        return True

    def _complain(self, why: str, advice: str) -> None:
        now = trio.current_time()
        if now >= self._silent_until.get(advice, now):
            self._silent_until[advice] = now + COMPLAINT_S
            log.error("no new connections for now: %s; %s", why, advice)

    async def _serve(self, stream: trio.SocketStream, manners: Manners) -> None:
        try:
            peer = _peer_of(stream)
        except OSError:
            await trio.aclose_forcefully(stream)
            return
        if manners.is_plain:
            await serve_client(self._broker, stream, peer, hub=self._hub, forwarder=self._forwarder)
            return
        began_at = trio.current_time()
        patience_s = self._broker.config.handshake_timeout_s
        welcomed = None
        newcomers: dict[Any, None] = self._broker.newcomers
        if manners.gate is not None:
            newcomers = self.callers
            notice_death(stream)
        newcomers[stream] = None
        try:
            with trio.move_on_after(patience_s) as waiting:
                welcomed = await self._welcome(stream, peer, manners)
            if waiting.cancelled_caught:
                log.warning("connection %s: no TLS or PROXY handshake in time, dropped", peer)
        except _RefusedError as error:
            log.warning("connection %s: refused, %s", peer, error)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            log.debug("connection %s: gone before it spoke AMQP", peer)
        except Exception:
            log.exception("connection %s: internal error before AMQP, dropped", peer)
        finally:
            del newcomers[stream]
            if welcomed is None:
                await trio.aclose_forcefully(stream)
        if isinstance(welcomed, Visit):
            await _answer(welcomed, peer)
        elif welcomed is not None:
            rest_s = patience_s - (trio.current_time() - began_at)
            await serve_client(
                self._broker, *welcomed, hub=self._hub, handshake_timeout_s=rest_s, forwarder=self._forwarder
            )

    async def _welcome(
        self, stream: trio.SocketStream, peer: Peer, manners: Manners
    ) -> tuple[trio.abc.HalfCloseableStream, Peer] | Visit | None:
        """Do what comes before AMQP. None when the client left without having said anything.

        Raises:
            _RefusedError: it did not do its part.
        """
        if manners.is_proxied:
            proxied = await self._read_proxy_header(stream, peer)
            if proxied is None:
                return None
            peer = proxied
        if manners.tls is None:
            return await self._through_gate(stream, manners.gate, peer)
        encrypted = TlsStream(stream, manners.tls.context)
        patience_s = self._broker.config.tls_handshake_timeout_s
        try:
            with trio.move_on_after(patience_s) as waiting:
                await encrypted.do_handshake()
        except ssl.SSLEOFError:
            if manners.gate is not None:  # what a node without TLS does: it waits to be greeted, then gives up
                raise _RefusedError("it hung up before TLS; does each node have amqp_broker.cluster_tls?") from None
            return None
        except ssl.SSLError as error:
            raise _RefusedError(f"the TLS handshake failed: {reason_of(error)}") from None
        if waiting.cancelled_caught:
            raise _RefusedError(f"no TLS handshake in {patience_s:g} s (ssl_handshake_timeout)")
        certificate = encrypted.peer_certificate()
        name = "" if manners.tls_options is None else user_in(certificate, manners.tls_options)
        tls = agreed(encrypted.version, encrypted.cipher, certificate)
        peer = attrs.evolve(peer, is_encrypted=True, certificate_name=name, tls=tls)
        return await self._through_gate(encrypted, manners.gate, peer)

    async def _through_gate(
        self, stream: trio.abc.HalfCloseableStream, gate: Gate | None, peer: Peer
    ) -> tuple[trio.abc.HalfCloseableStream, Peer] | Visit | None:
        if gate is None:
            return stream, peer
        try:
            taken = await gate.let_in(stream)
        except PreludeError as error:
            raise _RefusedError(f"it is no node of this cluster: {error}") from None
        return (stream, taken) if isinstance(taken, Peer) else taken

    async def _read_proxy_header(self, stream: trio.SocketStream, peer: Peer) -> Peer | None:
        if not self._is_trusted(peer):
            raise _RefusedError("it is no trusted proxy (trusted_proxies)")
        reader = HeaderReader()
        said_something = False
        while not reader.is_complete:
            data = await stream.receive_some(reader.wanted_octets)
            if not data:
                if said_something:
                    raise _RefusedError("its PROXY header is not complete")
                return None
            said_something = True
            try:
                reader.receive(data)
            except ProxyProtocolError as error:
                raise _RefusedError(f"its PROXY header is wrong: {error}") from None
        if reader.source is None:
            return peer
        return attrs.evolve(peer, address=reader.source.address, port=reader.source.port)

    def _is_trusted(self, peer: Peer) -> bool:
        if not peer.address:
            return True
        address = ipaddress.ip_address(peer.address.partition("%")[0])
        address = getattr(address, "ipv4_mapped", None) or address
        return any(address.version == network.version and address in network for network in self._trusted)


async def _answer(visit: Visit, peer: Peer) -> None:
    """Answer another node."""
    try:
        async with visit.stream:
            await visit.answer(visit.inquiry, visit.stream)
    except (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError) as error:
        log.debug("node at %s: gone before it was answered: %s", peer, error)
    except Exception:
        log.exception("node at %s: internal error in an answer", peer)


def manners_of(door: Door, tls: TlsKeeper | None, options: TlsOptions | None) -> Manners:
    """What comes before AMQP at a door."""
    return Manners(tls, options, door.is_proxied) if door.is_tls else Manners(is_proxied=door.is_proxied)


def _peer_of(stream: trio.SocketStream) -> Peer:
    address, own = stream.socket.getpeername(), stream.socket.getsockname()
    if not isinstance(address, tuple):
        return Peer()
    return Peer(str(address[0]), int(address[1]), own_address=str(own[0]), own_port=int(own[1]))
