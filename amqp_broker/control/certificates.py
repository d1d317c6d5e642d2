"""The certificates that listeners and nodes show and trust, and how long they are good for."""

from __future__ import annotations

import ssl
import time
from _ssl import _test_decode_cert  # type: ignore[attr-defined]  # no public function reads a file
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import attrs

from amqp_broker.config import TlsOptions
from amqp_broker.control.errors import EXIT_DATA, ControlError
from amqp_broker.control.request import Request
from amqp_broker.inspection.node import Node

UNITS_S: Final = {"days": 86400, "weeks": 7 * 86400, "months": 30 * 86400, "years": 365 * 86400}


@attrs.frozen
class Found:
    """One certificate: where it was found, what for, and the fields Python's ssl module gives of it."""

    path: Path
    purpose: str
    fields: Mapping[str, Any]

    @property
    def expires_at(self) -> int:
        """In seconds since 1970."""
        return ssl.cert_time_to_seconds(self.fields["notAfter"])

    @property
    def subject(self) -> str:
        return ",".join(f"{name}={value}" for part in self.fields["subject"] for name, value in part)


def certificates(node: Node, _request: Request) -> Iterable[str]:
    """What is in the files now; a broker that has not been told to read them again may use older ones."""
    for found in _certificates_of(node):
        yield f"{found.purpose}: {found.path}"
        yield f"  Subject: {found.subject}"
        yield f"  Serial number: {found.fields['serialNumber']}"
        yield f"  Validity: {found.fields['notBefore']} to {found.fields['notAfter']}"


def check_certificate_expiration(node: Node, request: Request) -> Iterable[str]:
    """Raises ControlError when one has expired or does so within the time asked for."""
    within, unit = str(request.options.get("within", "4")), str(request.options.get("unit", "weeks"))
    if not within.isdigit() or unit not in UNITS_S:
        raise ControlError(f"expected a whole number of {', '.join(UNITS_S)}, found {within!r} {unit!r}", EXIT_DATA)
    limit = time.time() + int(within) * UNITS_S[unit]
    expiring = [found for found in _certificates_of(node) if found.expires_at <= limit]
    if expiring:
        lines = [f"{found.path}: {found.subject} expires {found.fields['notAfter']}" for found in expiring]
        raise ControlError(f"Certificates expire within {within} {unit}:\n" + "\n".join(lines))
    yield f"No certificates are expiring within {within} {unit}."


def _certificates_of(node: Node) -> Iterator[Found]:
    """Read them. Raises ControlError when a file can't be read."""
    for options in node.broker.config.all_tls:
        yield from _certificates_in(options)


def _certificates_in(options: TlsOptions) -> Iterator[Found]:
    for certificate in options.certificates:
        try:
            yield Found(certificate.chain, "Certificate", _test_decode_cert(str(certificate.chain)))
        except OSError as error:
            raise _unreadable(certificate.chain, error) from None
    if options.ca is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            context.load_verify_locations(options.ca)
        except OSError as error:
            raise _unreadable(options.ca, error) from None
        for fields in context.get_ca_certs():
            yield Found(options.ca, "CA", fields)


def _unreadable(path: Path, error: OSError) -> ControlError:
    return ControlError(f"can't read {path}: {error.strerror or error}", EXIT_DATA)
