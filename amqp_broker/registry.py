"""What the broker knows of its users and of parameters, with storage behind it.

Everything that is changed here is told to storage in the same step. Knows no vhost and no client, checks nothing and
tells nobody else: that is `administration`'s. Source: rules 7.1 and 8.10 to 8.16.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeAlias

from amqp_broker.auth.passwords import HashAlgorithm, PasswordHash
from amqp_broker.auth.patterns import Pattern
from amqp_broker.auth.permissions import Permissions, TopicPermissions
from amqp_broker.auth.users import User, Users
from amqp_broker.config import DefaultUser
from amqp_broker.policies import ApplyTo, Policies, Policy
from amqp_broker.storage.definitions import Change, ChangeKind, text_of
from amqp_broker.storage.interface import Storage
from amqp_codec import Int64, Table

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

GLOBAL: Final = None
"""In the place of a vhost: a parameter of the whole broker."""

ParameterKey: TypeAlias = tuple[str | None, str, str]
"""Vhost or `GLOBAL`, component (empty for global ones), name."""

POLICY: Final = "policy"
OPERATOR_POLICY: Final = "operator_policy"
VHOST_LIMITS: Final = "vhost-limits"
LIMITS_NAME: Final = "limits"
"""Components, and the one name of a vhost's limits, that mean something to the broker."""

CLUSTER_NAME: Final = "cluster_name"
"""The global parameter that clients are told."""

_PERMISSION_FIELDS = ("configure", "write", "read")


class Registry:
    """Users and parameters.

    Attributes:
        users: changed only through this class, lest storage doesn't know.
        parameters: as JSON has them, in the order they were first set; policies and limits are among them.
        on_parameters_changed: called after any of them has changed.
    """

    def __init__(self, users: Users, storage: Storage) -> None:
        self.users = users
        self.parameters: dict[ParameterKey, Json] = {}
        self.on_parameters_changed: Callable[[], None] = _nothing
        self._storage = storage

    # Changes

    def put_user(self, user: User) -> None:
        """Keep a user as it is now, without its permissions."""
        self.users.add(user)
        self._storage.changed(_user_set(user))

    def let_in(self, whom: Iterable[DefaultUser], vhost: str) -> None:
        """Give users their permissions in a new vhost, as far as they are meant for it; who is not there is made."""
        for each in whom:
            if not Pattern(each.vhost_pattern).search(vhost):
                continue
            if self.users.get(each.name) is None:
                self.put_user(User(name=each.name, password=each.password.encode(), tags=each.tags))
            self.set_permissions(each.name, vhost, Permissions(*each.permissions))

    def remove_user(self, name: str) -> None:
        self.users.remove(name)
        self._storage.changed(Change(ChangeKind.USER_DELETED, {"user": name}))

    def set_permissions(self, user: str, vhost: str, permissions: Permissions | None) -> None:
        """Set what a user may do in a vhost; None takes it away."""
        self.users.set_permissions(user, vhost, permissions)
        if permissions is None:
            self._storage.changed(Change(ChangeKind.PERMISSIONS_CLEARED, {"user": user, "vhost": vhost}))
        else:
            self._storage.changed(_permissions_set(user, vhost, permissions))

    def set_topic_permissions(self, user: str, vhost: str, exchange: str, permissions: TopicPermissions | None) -> None:
        """Set the routing keys that a user may use at an exchange; None allows all again."""
        self.users.set_topic_permissions(user, vhost, exchange, permissions)
        if permissions is None:
            table: Table = {"user": user, "vhost": vhost, "exchange": exchange}
            self._storage.changed(Change(ChangeKind.TOPIC_PERMISSIONS_CLEARED, table))
        else:
            self._storage.changed(_topic_permissions_set(user, vhost, exchange, permissions))

    def set_parameter(self, vhost: str | None, component: str, name: str, value: Json) -> None:
        self.parameters[vhost, component, name] = value
        self._storage.changed(_parameter_set((vhost, component, name), value))
        self.on_parameters_changed()

    def clear_parameter(self, vhost: str | None, component: str, name: str) -> None:
        del self.parameters[vhost, component, name]
        self._storage.changed(Change(ChangeKind.PARAMETER_CLEARED, _parameter_table((vhost, component, name))))
        self.on_parameters_changed()

    def forget_vhost(self, vhost: str) -> None:
        """A vhost has been deleted, and storage knows: what was said of it goes with it."""
        self.users.forget_vhost(vhost)
        for key in [key for key in self.parameters if key[0] == vhost]:
            del self.parameters[key]
        self.on_parameters_changed()

    # Reading

    def parameters_of(self, vhost: str | None, component: str) -> dict[str, Json]:
        """The parameters of one component, by name."""
        return {
            name: value
            for (its_vhost, its_component, name), value in self.parameters.items()
            if its_vhost == vhost and its_component == component
        }

    # What survives a restart

    def definitions(self) -> Iterator[Change]:
        """All of it, as changes that lead to it (rule 7.1)."""
        for user in self.users:
            yield _user_set(user)
        for user in self.users:
            for vhost, permissions in user.permissions.items():
                yield _permissions_set(user.name, vhost, permissions)
            for (vhost, exchange), topic_permissions in user.topic_permissions.items():
                yield _topic_permissions_set(user.name, vhost, exchange, topic_permissions)
        for key, value in self.parameters.items():
            yield _parameter_set(key, value)

    def restore(self, change: Change) -> None:
        """Carry out what `definitions` gave."""
        table = change.table
        if change.kind is ChangeKind.USER_SET:
            new = _user_of(table)
            if (there := self.users.get(new.name)) is not None:
                new.permissions, new.topic_permissions = there.permissions, there.topic_permissions
            self.users.add(new)
        elif change.kind is ChangeKind.PERMISSIONS_SET:
            configure, write, read = (text_of(table, field) for field in _PERMISSION_FIELDS)
            self.users.set_permissions(
                text_of(table, "user"), text_of(table, "vhost"), Permissions(configure, write, read)
            )
        elif change.kind is ChangeKind.TOPIC_PERMISSIONS_SET:
            user, vhost = text_of(table, "user"), text_of(table, "vhost")
            permissions = TopicPermissions(text_of(table, "write"), text_of(table, "read"), user=user, vhost=vhost)
            self.users.set_topic_permissions(user, vhost, text_of(table, "exchange"), permissions)
        else:
            of_vhost = text_of(table, "vhost") if "vhost" in table else GLOBAL
            key = (of_vhost, text_of(table, "component"), text_of(table, "name"))
            self.parameters[key] = json.loads(text_of(table, "value"))


def _nothing() -> None:
    """Nobody wants to know."""


def policies_of(registry: Registry, vhost: str) -> Policies:
    """The policies of a vhost."""
    return Policies(
        [_policy_of(name, value) for name, value in registry.parameters_of(vhost, POLICY).items()],
        [_policy_of(name, value) for name, value in registry.parameters_of(vhost, OPERATOR_POLICY).items()],
    )


def limit_of(limits: dict[str, Json], key: str) -> int | None:
    """Read a limit; None and negative numbers are none (rule 8.8)."""
    value = limits.get(key)
    return value if isinstance(value, int) else None


def _policy_of(name: str, value: Json) -> Policy:
    """Read a policy's parameter, which was checked when it was set."""
    assert isinstance(value, dict)
    definition, priority = value["definition"], value.get("priority", 0)
    assert isinstance(definition, dict)
    assert isinstance(priority, int | float)
    return Policy(
        name, Pattern(str(value["pattern"])), definition, priority, ApplyTo(str(value.get("apply-to", ApplyTo.ALL)))
    )


def _user_set(user: User) -> Change:
    table: Table = {
        "user": user.name,
        "password_hash": user.password.text,
        "hashing_algorithm": str(user.password.algorithm),
        "tags": list(user.tags),
    }
    for key, limit in (("max-connections", user.max_connections), ("max-channels", user.max_channels)):
        if limit is not None:
            table[key] = Int64(limit)
    return Change(ChangeKind.USER_SET, table)


def _user_of(table: Table) -> User:
    tags = table["tags"]
    assert isinstance(tags, list)
    return User(
        name=text_of(table, "user"),
        password=PasswordHash.from_text(
            text_of(table, "password_hash"), HashAlgorithm(text_of(table, "hashing_algorithm"))
        ),
        tags=tuple(tag.decode() if isinstance(tag, bytes) else str(tag) for tag in tags),
        max_connections=_limit(table, "max-connections"),
        max_channels=_limit(table, "max-channels"),
    )


def _limit(table: Table, key: str) -> int | None:
    value = table.get(key)
    return int(value) if isinstance(value, int) else None


def _permissions_set(user: str, vhost: str, permissions: Permissions) -> Change:
    table: Table = {"user": user, "vhost": vhost}
    table.update(zip(_PERMISSION_FIELDS, permissions.texts, strict=True))
    return Change(ChangeKind.PERMISSIONS_SET, table)


def _topic_permissions_set(user: str, vhost: str, exchange: str, permissions: TopicPermissions) -> Change:
    write, read = permissions.texts
    return Change(
        ChangeKind.TOPIC_PERMISSIONS_SET,
        {"user": user, "vhost": vhost, "exchange": exchange, "write": write, "read": read},
    )


def _parameter_set(key: ParameterKey, value: Json) -> Change:
    table = _parameter_table(key)
    table["value"] = json.dumps(value, separators=(",", ":"))
    return Change(ChangeKind.PARAMETER_SET, table)


def _parameter_table(key: ParameterKey) -> Table:
    vhost, component, name = key
    table: Table = {"component": component, "name": name}
    if vhost is not GLOBAL:
        table["vhost"] = vhost
    return table
