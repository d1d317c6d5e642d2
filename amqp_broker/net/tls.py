"""TLS: certificates from files, renewed without a restart, and a stream that encrypts.

The stream is not trio's `SSLStream`; decision record 0016 says why. Encryption is OpenSSL's, through `ssl.MemoryBIO`.
"""

from __future__ import annotations

import contextlib
import logging
import ssl
from collections.abc import Callable
from typing import Final

import attrs
import trio

from amqp_broker.config import Certificate, TlsOptions

log = logging.getLogger(__name__)

HANDSHAKE_READ_OCTETS: Final = 16 * 1024
READ_OCTETS: Final = 64 * 1024
"""What is read at once when the caller does not say."""

_VERSIONS: Final = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


class TlsConfigError(Exception):
    """Certificates or options can't be used; the text says which and why, in one line."""


class TlsKeeper:
    """The certificates in use.

    Raises:
        TlsConfigError: they can't be used.

    Attributes:
        context: for the next connection; those that are open keep the one they began with.
    """

    def __init__(self, options: TlsOptions) -> None:
        self._options = options
        self._make()

    def _make(self) -> None:
        self.context = make_context(self._options)

    def reload(self) -> None:
        """Read the files again; if they can't be used, what was there goes on to be used."""
        try:
            self._make()
        except TlsConfigError as error:
            log.error("TLS: %s; the certificates loaded before stay in use", error)
        else:
            log.info("TLS: certificates loaded again")


class NodeTlsKeeper(TlsKeeper):
    """The certificates between nodes of a cluster: a node shows the same whether it calls or is called.

    Names in certificates are not looked at. Nodes know each other by addresses that change, and the CA, which signs
    for nothing else, says who is one.

    Raises:
        TlsConfigError: they can't be used, or there is no CA.

    Attributes:
        calling: for the next connection to another node.
    """

    def __init__(self, options: TlsOptions) -> None:
        if options.ca is None:
            raise TlsConfigError("nodes need a CA of their own: the system's sign for everybody")
        super().__init__(attrs.evolve(options, verify_peer=True, fail_if_no_peer_cert=True))

    def _make(self) -> None:
        calling = _calling_context(self._options)
        super()._make()
        self.calling = calling


def _calling_context(options: TlsOptions) -> ssl.SSLContext:
    """For the client's end. Raises TlsConfigError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.minimum_version = _VERSIONS[options.min_version]
    _load(context, options.certificates[0])
    _trust(context, options)
    return context


def make_context(options: TlsOptions) -> ssl.SSLContext:
    """Make what OpenSSL wants to know. Raises TlsConfigError."""
    first, *others = [(certificate.host, _make_one(options, certificate)) for certificate in options.certificates]
    context = first[1]
    by_host = {host.lower(): other for host, other in (first, *others) if host}
    if by_host:
        context.sni_callback = _chooser(by_host)
    return context


def _chooser(
    by_host: dict[str, ssl.SSLContext],
) -> Callable[[ssl.SSLSocket | ssl.SSLObject, str | None, ssl.SSLContext], None]:
    def choose(tls: ssl.SSLSocket | ssl.SSLObject, host: str | None, _context: ssl.SSLContext) -> None:
        chosen = by_host.get((host or "").lower())
        if chosen is not None:
            tls.context = chosen

    return choose


def _make_one(options: TlsOptions, certificate: Certificate) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if options.min_version > options.max_version:
        raise TlsConfigError(f"no TLS version from {options.min_version} to {options.max_version}")
    context.minimum_version = _VERSIONS[options.min_version]
    context.maximum_version = _VERSIONS[options.max_version]
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE | ssl.OP_NO_COMPRESSION
    if options.ciphers is not None:
        try:
            context.set_ciphers(options.ciphers)
        except ssl.SSLError:
            raise TlsConfigError(f"no TLS cipher OpenSSL knows in {options.ciphers!r}") from None
    _load(context, certificate)
    if options.fail_if_no_peer_cert and not options.verify_peer:
        raise TlsConfigError("fail_if_no_peer_cert needs verify_peer: nobody is asked for a certificate")
    if options.verify_peer:
        _trust(context, options)
    return context


def _load(context: ssl.SSLContext, certificate: Certificate) -> None:
    chain, key = certificate.chain, certificate.key or certificate.chain
    for path in (chain, key):
        try:
            path.open("rb").close()
        except OSError as error:
            raise TlsConfigError(f"can't read {path}: {error.strerror}") from None
    try:
        # Without a password OpenSSL would ask for one on the terminal.
        context.load_cert_chain(chain, key, password=certificate.key_password or "")
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise TlsConfigError(f"the key in {key} does not belong to the certificate in {chain}") from None
        raise TlsConfigError(
            f"{chain} and {key} are no certificate and key in PEM form, or the key's password is wrong "
            f"({error.reason or error})"
        ) from None


def _trust(context: ssl.SSLContext, options: TlsOptions) -> None:
    context.verify_mode = ssl.CERT_REQUIRED if options.fail_if_no_peer_cert else ssl.CERT_OPTIONAL
    if options.ca is None:
        context.load_default_certs(ssl.Purpose.CLIENT_AUTH)
        return
    try:
        context.load_verify_locations(options.ca)
    except ssl.SSLError as error:
        raise TlsConfigError(f"no certificates in PEM form in {options.ca} ({error.reason or error})") from None
    except OSError as error:
        raise TlsConfigError(f"can't read {options.ca}: {error.strerror}") from None


def reason_of(error: ssl.SSLError) -> str:
    """Say in words what OpenSSL says in capitals: `UNSUPPORTED_PROTOCOL`."""
    return (error.reason or str(error)).replace("_", " ").lower()


class TlsStream(trio.abc.HalfCloseableStream):
    """An end of a TLS connection over another stream, which it owns: the server's, or that of who connects to it."""

    def __init__(
        self, transport: trio.abc.HalfCloseableStream, context: ssl.SSLContext, *, is_server: bool = True
    ) -> None:
        self._transport = transport
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=is_server)
        self._sending = trio.Lock()
        self._is_at_end = False

    async def do_handshake(self) -> None:
        """Agree on keys, and look at the other side's certificate.

        Raises:
            ssl.SSLError: the other side speaks no TLS, or none that is acceptable; it has been told.
            trio.BrokenResourceError: it is gone.
        """
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                await self._flush()
                await self._refill(HANDSHAKE_READ_OCTETS)
            except ssl.SSLError:
                await self._flush()
                raise
            else:
                # With TLS 1.3 these are tickets that only a client which comes back has a use for.
                await self._flush()
                return

    @property
    def version(self) -> str:
        """The version spoken, such as `TLSv1.3`."""
        return self._tls.version() or ""

    @property
    def cipher(self) -> str:
        """The cipher suite in use, in OpenSSL's words."""
        cipher = self._tls.cipher()
        return cipher[0] if cipher else ""

    def peer_certificate(self) -> dict[str, object]:
        """The client's certificate as `ssl` gives it; empty when it has shown none or nobody has looked at it."""
        return dict(self._tls.getpeercert() or {})

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """All that has come, at most so many octets; empty at the end, also when that came without a word."""
        limit = max_bytes or READ_OCTETS
        if self._incoming.pending:
            await trio.lowlevel.checkpoint()
        while True:
            try:
                data = self._decrypted(limit)
            except ssl.SSLError as error:
                await self._flush()  # why: the alert that the client is owed
                raise trio.BrokenResourceError(f"TLS: {error.reason or error}") from error
            if self._outgoing.pending:
                await self._flush()
            if data or self._is_at_end:
                return data
            await self._refill(limit)

    def _decrypted(self, limit: int) -> bytes:
        """What can be decrypted of what is here: many records at once. Raises ssl.SSLError."""
        pieces: list[bytes] = []
        try:
            while limit > 0:
                piece = self._tls.read(limit)
                if not piece:
                    self._is_at_end = True
                    break
                pieces.append(piece)
                limit -= len(piece)
        except ssl.SSLWantReadError:
            pass
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            self._is_at_end = True
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def _refill(self, octets: int) -> None:
        data = await self._transport.receive_some(octets)
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[self._tls.write(rest) :]
        except ssl.SSLError as error:
            raise trio.BrokenResourceError(f"TLS: {error.reason or error}") from error
        await self._flush()

    async def _flush(self) -> None:
        async with self._sending:
            octets = self._outgoing.read()
            if octets:
                await self._transport.send_all(octets)

    async def wait_send_all_might_not_block(self) -> None:
        await self._transport.wait_send_all_might_not_block()

    async def send_eof(self) -> None:
        """Say that nothing more is sent, and wait for nothing."""
        with contextlib.suppress(ssl.SSLError):  # it wants the other side's last word, which reading will find
            self._tls.unwrap()
        await self._flush()
        await self._transport.send_eof()

    async def aclose(self) -> None:
        await self._transport.aclose()
