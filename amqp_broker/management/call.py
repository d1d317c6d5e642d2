"""One request as an endpoint sees it: who asks, what for, and the broker to ask."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from amqp_broker.administration.values import as_table
from amqp_broker.auth.backend import Identity
from amqp_broker.auth.users import Peer
from amqp_broker.broker import Broker
from amqp_broker.inspection.node import Node
from amqp_broker.inspection.values import Json
from amqp_broker.management.attempts import Attempts
from amqp_broker.management.errors import bad_request, hidden, keys_missing, no_such, not_authorised, not_found
from amqp_broker.management.figures import Figures
from amqp_broker.management.routes import Needs
from amqp_broker.session.rights import Rights
from amqp_broker.vhost import Vhost
from amqp_codec import Table

KNOWN_TAGS = frozenset({"management", "policymaker", "monitoring", "administrator"})

NOT_YOURS = "User not authorised to access object"

MAX_SHORTSTR_OCTETS = 255

_TAGS_FOR = {
    Needs.MANAGEMENT: KNOWN_TAGS,
    Needs.POLICYMAKER: frozenset({"policymaker", "administrator"}),
    Needs.MONITORING: frozenset({"monitoring", "administrator"}),
    Needs.ADMINISTRATOR: frozenset({"administrator"}),
}

_REFUSALS = {
    Needs.MANAGEMENT: "Not management user",
    Needs.POLICYMAKER: NOT_YOURS,
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
    def user(self) -> str:
        """The same: who owns nothing exclusive but has permissions, as a connection's user has."""
        return self.identity.name

    @property
    def tags(self) -> frozenset[str]:
        return self.identity.tags

    def is_a(self, needs: Needs) -> bool:
        return needs is Needs.NOBODY or bool(self.tags & _TAGS_FOR[needs])

    def check(self, needs: Needs) -> None:
        """Let in who has the tag. Raises ApiError 401."""
        for each in (Needs.MANAGEMENT, needs):
            if not self.is_a(each):
                raise not_authorised(_REFUSALS[each])


@attrs.frozen(kw_only=True)
class Call:
    """A request.

    Attributes:
        caller: None where no login is needed.
        path: the segments of the path that vary, by name.
        query: the parameters of the URL; the last of several with one name.
        body: what came as JSON; `{}` when nothing came.
        reason: what the caller says why (`X-Reason`), empty without.
        only_vhost: the one vhost that lists are to be about (`x-vhost`); empty for all.
    """

    node: Node
    statistics: Figures
    attempts: Attempts
    caller: Caller | None
    path: Mapping[str, str]
    query: Mapping[str, str]
    body: Any
    reason: str = ""
    only_vhost: str = ""
    _rights: dict[str, Rights] = attrs.field(factory=dict, init=False)

    @property
    def broker(self) -> Broker:
        return self.node.broker

    @property
    def user(self) -> Caller:
        """Who asks, of an endpoint that nobody reaches without a login."""
        assert self.caller is not None
        return self.caller

    @property
    def vhost(self) -> Vhost:
        """The vhost that the path names: to look into it, or to rule it.

        Raises:
            ApiError: 404 there is none, or the caller may not enter it; administrators may enter all.
        """
        vhost = self.broker.vhosts.get(self.path["vhost"])
        if vhost is None:
            raise not_found()
        if not self.may_enter(vhost):
            raise hidden()
        return vhost

    @property
    def own_vhost(self) -> Vhost:
        """The vhost that the path names, to change or use something there under one's own permissions.

        Raises:
            ApiError: 404 as for `vhost`; 401 an administrator has no permissions in it.
        """
        vhost = self.broker.vhosts.get(self.path["vhost"])
        if vhost is None:
            raise no_such("vhost")
        if not self.may_enter(vhost):
            raise hidden()
        if vhost.name not in self.user.vhosts:
            raise not_authorised("Access refused.")
        return vhost

    @property
    def visible_vhost(self) -> Vhost:
        """The vhost that the path names, to say something of it but not of what is in it. Raises ApiError 404."""
        vhost = self.broker.vhosts.get(self.path["vhost"])
        if vhost is None:
            raise not_found()
        if not self._may_see(vhost):
            raise hidden()
        return vhost

    def rights_in(self, vhost: Vhost) -> Rights:
        """What the caller may do in a vhost, as over AMQP; late answers are kept for the next try."""
        rights = self._rights.get(vhost.name)
        if rights is None:
            rights = self._rights[vhost.name] = Rights(self.user, vhost.name)
        return rights

    def may_enter(self, vhost: Vhost) -> bool:
        """Whether the caller may look at what is in a vhost."""
        return vhost.name in self.user.vhosts or self.user.is_a(Needs.ADMINISTRATOR)

    def _may_see(self, vhost: Vhost) -> bool:
        return vhost.name in self.user.vhosts or self.user.is_a(Needs.MONITORING)

    @property
    def vhosts(self) -> list[Vhost]:
        """The vhosts that the caller may look into, by name."""
        return [vhost for vhost in self._wanted_vhosts if self.may_enter(vhost)]

    @property
    def vhosts_here(self) -> list[Vhost]:
        """Those of them whose contents are with this node: in a cluster each node lists what it has."""
        return [vhost for vhost in self.vhosts if self.broker.is_here(vhost.name)]

    @property
    def visible_vhosts(self) -> list[Vhost]:
        """The vhosts that the caller may know of, by name: for who monitors, all."""
        return [vhost for vhost in self._wanted_vhosts if self._may_see(vhost)]

    def wants(self, vhost_name: str) -> bool:
        """Whether lists are to be about what is in a vhost."""
        return self.only_vhost in ("", vhost_name)

    @property
    def _wanted_vhosts(self) -> list[Vhost]:
        return [vhost for name, vhost in sorted(self.broker.vhosts.items()) if self.wants(name)]

    # The body

    @property
    def fields(self) -> dict[str, Any]:
        """The body as an object. Raises ApiError 400."""
        if not isinstance(self.body, dict):
            raise bad_request("not_json_object")
        return self.body

    def require(self, *names: str) -> None:
        """Let the body have these keys. Raises ApiError 400."""
        missing = [name for name in names if self.fields.get(name) is None]
        if missing:
            raise keys_missing(missing)

    def text(self, name: str, default: str | None = None) -> str:
        """A text of the body. Raises ApiError 400 if it is missing, without a default, or is no text."""
        value = self._value(name, default)
        if not isinstance(value, str):
            raise bad_request(f"{name} is not a string")
        return value

    def flag(self, name: str, default: bool = False) -> bool:
        """A yes or no of the body, which may come as text. Raises ApiError 400."""
        value = self._value(name, default)
        if isinstance(value, str) and value in ("true", "false"):
            return value == "true"
        if isinstance(value, bool):
            return value
        raise bad_request(f"{name} is not a boolean")

    def number(self, name: str, default: int | None = None) -> int:
        """A whole number of the body, which may come as text. Raises ApiError 400."""
        return whole_number(name, self._value(name, default))

    def words(self, name: str) -> list[str]:
        """A list of words, or one text with commas in it. Raises ApiError 400."""
        value = self._value(name, "")
        words = value.split(",") if isinstance(value, str) else value
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise bad_request(f"{name} is not a list of strings")
        return [word.strip() for word in words if word.strip()]

    def table(self, name: str) -> Table:
        """An object of the body as a field table. Raises ApiError 400."""
        return table_of(name, self._value(name, {}))

    def _value(self, name: str, default: Json) -> Any:
        value = self.fields.get(name)
        if value is None:
            value = default
        if value is None:
            raise keys_missing([name])
        return value

    def asks_for(self, name: str) -> bool:
        """Whether a parameter of the URL says yes."""
        return self.query.get(name) == "true"


def whole_number(name: str, value: object) -> int:
    """A whole number, which may come as text. Raises ApiError 400."""
    try:
        if not isinstance(value, int | float | str) or isinstance(value, bool) or int(value) != float(value):
            raise ValueError
        return int(value)
    except (ValueError, OverflowError):
        raise bad_request(f"{name} is not an integer") from None


def table_of(name: str, value: object) -> Table:
    """A JSON object as a field table; an empty list is an empty one. Raises ApiError 400."""
    if value == []:
        return {}
    if not isinstance(value, dict):
        raise bad_request(f"{name} is not an object")
    try:
        return as_table(value)
    except ValueError as error:
        raise bad_request(str(error)) from None


def short(name: str, value: str) -> str:
    """Let a text fit into a shortstr. Raises ApiError 400."""
    if len(value.encode()) > MAX_SHORTSTR_OCTETS:
        raise bad_request(f"{name} is longer than {MAX_SHORTSTR_OCTETS} octets")
    return value
