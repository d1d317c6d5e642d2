"""What the scopes of a token allow, in RabbitMQ's spelling: `read:vhost/name/routing-key`, `tag:administrator`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import unquote

import attrs

from amqp_broker.auth.permissions import Access

_TAG: Final = "tag:"


@attrs.frozen
class Grant:
    """One kind of access to what matches three patterns, in which `*` stands for any letters."""

    access: Access
    vhost: re.Pattern[str]
    name: re.Pattern[str]
    routing_key: re.Pattern[str]


@attrs.frozen
class Scopes:
    """All that a token's scopes allow."""

    grants: tuple[Grant, ...]
    tags: frozenset[str]

    def allow_vhost(self, vhost: str) -> bool:
        """Whether there is anything the user may do in a vhost."""
        return any(grant.vhost.fullmatch(vhost) for grant in self.grants)

    def allow(self, access: Access, vhost: str, name: str) -> bool:
        return any(
            grant.access is access and grant.vhost.fullmatch(vhost) and grant.name.fullmatch(name)
            for grant in self.grants
        )

    def allow_key(self, access: Access, vhost: str, exchange: str, routing_key: str) -> bool:
        return any(
            grant.access is access
            and grant.vhost.fullmatch(vhost)
            and grant.name.fullmatch(exchange)
            and grant.routing_key.fullmatch(routing_key)
            for grant in self.grants
        )


def parse_scopes(scopes: Iterable[str], prefix: str) -> Scopes:
    """Read scopes; those without the prefix are meant for others, and those that say nothing allow nothing."""
    grants: list[Grant] = []
    tags: set[str] = set()
    for scope in scopes:
        if not scope.startswith(prefix):
            continue
        rest = scope.removeprefix(prefix)
        if rest.startswith(_TAG):
            tags.add(rest.removeprefix(_TAG))
            continue
        access, _, pattern = rest.partition(":")
        parts = pattern.split("/")
        if access in list(Access) and len(parts) in (2, 3):
            vhost, name, *routing_key = map(_pattern, parts)
            grants.append(Grant(Access(access), vhost, name, routing_key[0] if routing_key else _ANY))
    return Scopes(tuple(grants), frozenset(tags))


def _pattern(text: str) -> re.Pattern[str]:
    """A pattern: stars are stars before percent signs are decoded, so `%2A` is the letter."""
    return re.compile(".*".join(re.escape(unquote(piece)) for piece in re.split(r"\*+", text)), re.DOTALL)


_ANY: Final = _pattern("*")
