"""AMQP URIs as RabbitMQ's clients and parameters have them: `amqps://user:password@host:5671/vhost?verify=verify_peer`.

Without a host, the broker that reads it is meant: `amqp://` and `amqp:///vhost`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import parse_qsl, quote, unquote, urlsplit

import attrs

PORTS: Final = {"amqp": 5672, "amqps": 5671}
MAX_HEARTBEAT_S: Final = 65535
MAX_NAME_OCTETS: Final = 255


class InvalidUriError(ValueError):
    """No URI of a broker; the text says why, without a password."""


@attrs.frozen
class Uri:
    """Where a broker is.

    Attributes:
        host: None for the broker that reads this.
        vhost: None where the URI names none.
        ca: certificates to trust instead of the system's.
        certificate: what to show, with its key in `key` or in the same file.
        verifies: whether the broker's certificate is checked.
        server_name: what that certificate has to be for; None for the host.
        heartbeat_s: what is asked for; None for what the broker proposes.
    """

    host: str | None = None
    port: int = 5672
    user: str = "guest"
    password: str = attrs.field(default="guest", repr=False)
    vhost: str | None = None
    is_encrypted: bool = False
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    verifies: bool = True
    server_name: str | None = None
    heartbeat_s: int | None = None
    connection_timeout_s: float = 60.0

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a URI. Parts are percent-encoded; a path of one slash is a vhost with an empty name.

        Raises:
            InvalidUriError: it is none.
        """
        try:
            parts = urlsplit(text)
            port = parts.port
        except ValueError as error:
            raise InvalidUriError(f"no URI: {error}") from None
        if parts.scheme not in PORTS:
            raise InvalidUriError(f"{parts.scheme or 'nothing'} is no scheme of AMQP: amqp or amqps")
        if "/" in parts.path[1:] or parts.fragment:
            raise InvalidUriError("behind the vhost nothing may follow; a / in its name is written %2F")
        vhost = unquote(parts.path[1:]) if parts.path else None
        if vhost is not None and len(vhost.encode()) > MAX_NAME_OCTETS:
            raise InvalidUriError(f"a vhost's name has at most {MAX_NAME_OCTETS} octets")
        return cls(
            host=unquote(parts.hostname) if parts.hostname else None,
            port=port or PORTS[parts.scheme],
            user="guest" if parts.username is None else unquote(parts.username),
            password="guest" if parts.password is None else unquote(parts.password),
            vhost=vhost,
            is_encrypted=parts.scheme == "amqps",
            **_options(dict(parse_qsl(parts.query))),
        )

    @property
    def shown(self) -> str:
        """The URI without user and password, as RabbitMQ's status shows it."""
        scheme = "amqps" if self.is_encrypted else "amqp"
        host = "" if self.host is None else f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.host is None or self.port == PORTS[scheme] else f":{self.port}"
        return f"{scheme}://{host}{port}" + ("" if self.vhost is None else "/" + quote(self.vhost, safe=""))


def _options(query: Mapping[str, str]) -> dict[str, Any]:
    """The query's part; what concerns neither login nor TLS is left to the agreement with the broker."""
    options: dict[str, Any] = {}
    for key, name in (("cacertfile", "ca"), ("certfile", "certificate"), ("keyfile", "key")):
        if key in query:
            options[name] = Path(query[key])
    if "verify" in query:
        if query["verify"] not in ("verify_peer", "verify_none"):
            raise InvalidUriError("verify is verify_peer or verify_none")
        options["verifies"] = query["verify"] == "verify_peer"
    if query.get("server_name_indication", "disable") != "disable":
        options["server_name"] = query["server_name_indication"]
    if "heartbeat" in query:
        options["heartbeat_s"] = _number("heartbeat", query["heartbeat"], MAX_HEARTBEAT_S)
    if "connection_timeout" in query:
        options["connection_timeout_s"] = _number("connection_timeout", query["connection_timeout"], 3_600_000) / 1000
    return options


def _number(key: str, text: str, highest: int) -> int:
    if not (text.isascii() and text.isdecimal() and int(text) <= highest):
        raise InvalidUriError(f"{key} is a number up to {highest}")
    return int(text)
