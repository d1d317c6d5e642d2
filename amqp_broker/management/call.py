"""One request as an endpoint sees it: who asks, what for, and the broker to ask."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from amqp_broker.auth.backend import Identity
from amqp_broker.auth.users import Peer
from amqp_broker.broker import Broker
from amqp_broker.inspection.values import Json
from amqp_broker.management.errors import bad_request, not_authorised, not_found
from amqp_broker.management.node import Node
from amqp_broker.management.routes import Needs
from amqp_broker.management.statistics import Statistics
from amqp_broker.vhost import Vhost

KNOWN_TAGS = frozenset({"management", "policymaker", "monitoring", "administrator"})

_TAGS_FOR = {
    Needs.MANAGEMENT: KNOWN_TAGS,
    Needs.POLICYMAKER: frozenset({"policymaker", "administrator"}),
    Needs.MONITORING: frozenset({"monitoring", "administrator"}),
    Needs.ADMINISTRATOR: frozenset({"administrator"}),
}

_REFUSALS = {
    Needs.MANAGEMENT: "Not management user",
    Needs.POLICYMAKER: "Not policymaker user",
    Needs.MONITORING: "Not monitor user",
    Needs.ADMINISTRATOR: "Not administrator user",
}


@attrs.frozen
class Caller:
    """Who is logged in.

    Attributes:
        vhosts: the names of those the user may enter.
    """

    identity: Identity
    peer: Peer
    vhosts: frozenset[str]

    @property
    def name(self) -> str:
        return self.identity.name

    @property
    def tags(self) -> frozenset[str]:
        return self.identity.tags

    def is_a(self, needs: Needs) -> bool:
        return needs is Needs.NOBODY or bool(self.tags & _TAGS_FOR[needs])

    def check(self, needs: Needs) -> None:
        """Let in who has the tag. Raises ApiError 401."""
        if not self.is_a(needs):
            raise not_authorised(_REFUSALS[needs])


@attrs.frozen(kw_only=True)
class Call:
    """A request.

    Attributes:
        caller: None where no login is needed.
        path: the segments of the path that vary, by name.
        query: the parameters of the URL; the last of several with one name.
        body: what came as JSON; `{}` when nothing came.
        reason: what the caller says why (`X-Reason`), empty without.
    """

    broker: Broker
    node: Node
    statistics: Statistics
    caller: Caller | None
    path: Mapping[str, str]
    query: Mapping[str, str]
    body: Any
    reason: str = ""

    @property
    def user(self) -> Caller:
        """Who asks, of an endpoint that nobody reaches without a login."""
        assert self.caller is not None
        return self.caller

    @property
    def vhost(self) -> Vhost:
        """The vhost that the path names.

        Raises:
            ApiError: 404 there is none; 401 the caller may not enter it.
        """
        vhost = self.broker.vhosts.get(self.path["vhost"])
        if vhost is None:
            raise not_found()
        self.check_vhost(vhost)
        return vhost

    def check_vhost(self, vhost: Vhost) -> None:
        """Let the caller at what is in a vhost. Raises ApiError 401."""
        if not self.may_see(vhost):
            raise not_authorised("User not authorised to access virtual host")

    def may_see(self, vhost: Vhost) -> bool:
        """Whether the caller may enter a vhost; who monitors sees all of them."""
        return vhost.name in self.user.vhosts or self.user.is_a(Needs.MONITORING)

    @property
    def vhosts(self) -> list[Vhost]:
        """The vhosts whose things the caller may see, by name."""
        return [vhost for _, vhost in sorted(self.broker.vhosts.items()) if self.may_see(vhost)]

    # The body

    def field(self, name: str, default: Json = None) -> Any:
        """A field of the body. Raises ApiError 400 if the body is no object."""
        if not isinstance(self.body, dict):
            raise bad_request("not_json_object")
        return self.body.get(name, default)

    def text(self, name: str, default: str | None = None) -> str:
        """A text of the body. Raises ApiError 400 if it is missing, without a default, or is no text."""
        value = self.field(name, default)
        if value is None:
            raise bad_request(f"key_missing: {name}")
        if not isinstance(value, str):
            raise bad_request(f"{name} is not a string")
        return value

    def flag(self, name: str, default: bool = False) -> bool:
        """A yes or no of the body, which may come as text. Raises ApiError 400."""
        value = self.field(name, default)
        if isinstance(value, str) and value in ("true", "false"):
            return value == "true"
        if isinstance(value, bool):
            return value
        raise bad_request(f"{name} is not a boolean")

    def number(self, name: str, default: int | None = None) -> int:
        """A whole number of the body, which may come as text. Raises ApiError 400."""
        value = self.field(name, default)
        if value is None:
            raise bad_request(f"key_missing: {name}")
        try:
            if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
                raise ValueError
            return int(value)
        except (TypeError, ValueError):
            raise bad_request(f"{name} is not an integer") from None
