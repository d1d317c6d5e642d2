"""Users: passwords, tags, limits (rules 8.8, 8.15 and 8.16)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from amqp_broker.administration.errors import (
    InvalidValueError,
    UserExistsError,
    UserNotFoundError,
    validation_failed,
)
from amqp_broker.auth.passwords import PasswordHash
from amqp_broker.auth.users import Peer, User
from amqp_broker.broker import Broker
from amqp_broker.events import INTERNAL_USER, EventKind
from amqp_broker.policies.settings import erlang
from amqp_broker.registry import Json

MAX_TAGS: Final = 32

MAX_NAME_OCTETS: Final = 255
"""Names go into shortstrs."""

USER_LIMITS: Final = ("max-connections", "max-channels")


def add_user(
    broker: Broker, name: str, password: str | PasswordHash, tags: Sequence[str] = (), *, by: str = INTERNAL_USER
) -> None:
    """Make a user who may do nothing yet. A blank password lets nobody in.

    Raises:
        UserExistsError: there is one of that name.
        InvalidValueError: the name or the tags.
    """
    if broker.users.get(name) is not None:
        raise UserExistsError(name)
    put_user(broker, name, password, tags, by=by)


def put_user(
    broker: Broker, name: str, password: str | PasswordHash, tags: Sequence[str], *, by: str = INTERNAL_USER
) -> bool:
    """Make a user, or give one a new password and other tags.

    Returns:
        Whether the user is new.

    Raises:
        InvalidValueError: the name or the tags.
    """
    check_name("user", name)
    check_tags(tags)
    user = broker.users.get(name)
    if user is None:
        broker.registry.put_user(User(name=name, password=_hash(password), tags=tags))
        broker.events.emit(EventKind.USER_CREATED, name=name, user_who_performed_action=by)
        if tags:
            _tell_tags(broker, name, tags, by)
        return True
    user.password = _hash(password)
    user.tags = tuple(tags)
    broker.registry.put_user(user)
    broker.events.emit(EventKind.USER_PASSWORD_CHANGED, name=name, user_who_performed_action=by)
    _tell_tags(broker, name, tags, by)
    return False


def change_password(broker: Broker, name: str, password: str | PasswordHash, *, by: str = INTERNAL_USER) -> None:
    """Set another password; who is connected stays so.

    Raises:
        UserNotFoundError: there is no such user.
    """
    user = find_user(broker, name)
    user.password = _hash(password)
    broker.registry.put_user(user)
    broker.events.emit(EventKind.USER_PASSWORD_CHANGED, name=name, user_who_performed_action=by)


def clear_password(broker: Broker, name: str, *, by: str = INTERNAL_USER) -> None:
    """Let nobody log in as this user with a password.

    Raises:
        UserNotFoundError: there is no such user.
    """
    user = find_user(broker, name)
    user.password = PasswordHash()
    broker.registry.put_user(user)
    broker.events.emit(EventKind.USER_PASSWORD_CLEARED, name=name, user_who_performed_action=by)


def set_user_tags(broker: Broker, name: str, tags: Sequence[str], *, by: str = INTERNAL_USER) -> None:
    """Give a user other tags; AMQP connections go by those they logged in with.

    Raises:
        UserNotFoundError: there is no such user.
        InvalidValueError: too many, or one is blank.
    """
    user = find_user(broker, name)
    check_tags(tags)
    user.tags = tuple(tags)
    broker.registry.put_user(user)
    _tell_tags(broker, name, tags, by)


def delete_user(broker: Broker, name: str, *, by: str = INTERNAL_USER) -> None:
    """Delete a user, and close all connections this user has.

    Raises:
        UserNotFoundError: there is no such user.
    """
    find_user(broker, name)
    broker.registry.remove_user(name)
    broker.events.emit(EventKind.USER_DELETED, name=name, user_who_performed_action=by)
    for client in broker.clients_of(name):
        client.force_close(f"user '{name}' is deleted")


def authenticate_user(broker: Broker, name: str, password: str) -> bool:
    """Whether a password would let this user in, from the broker's own machine."""
    return broker.users.login(name, _octets(password), Peer())


def set_user_limits(broker: Broker, name: str, limits: Json, *, by: str = INTERNAL_USER) -> None:
    """Set limits of a user, by RabbitMQ's names; those that aren't named stay.

    Raises:
        UserNotFoundError: there is no such user.
        InvalidValueError: an unknown limit, or not an integer.
    """
    user = find_user(broker, name)
    checked = check_limits(limits, USER_LIMITS)
    user.max_connections = checked.get("max-connections", user.max_connections)
    user.max_channels = checked.get("max-channels", user.max_channels)
    broker.registry.put_user(user)
    broker.events.emit(EventKind.USER_LIMITS_SET, name=name, **checked, user_who_performed_action=by)


def clear_user_limits(broker: Broker, name: str, limit: str = "all", *, by: str = INTERNAL_USER) -> None:
    """Remove one limit of a user, or all of them.

    Raises:
        UserNotFoundError: there is no such user.
    """
    user = find_user(broker, name)
    if limit in ("all", "max-connections"):
        user.max_connections = None
    if limit in ("all", "max-channels"):
        user.max_channels = None
    broker.registry.put_user(user)
    broker.events.emit(EventKind.USER_LIMITS_CLEARED, name=name, limit=limit, user_who_performed_action=by)


def find_user(broker: Broker, name: str) -> User:
    """Look up a user. Raises UserNotFoundError."""
    user = broker.users.get(name)
    if user is None:
        raise UserNotFoundError(name)
    return user


def user_item(user: User) -> dict[str, Json]:
    """A user as definitions and the management API have it."""
    return {
        "name": user.name,
        "password_hash": user.password.text,
        "hashing_algorithm": str(user.password.algorithm),
        "tags": list(user.tags),
        "limits": user_limits(user),
    }


def list_users(broker: Broker) -> list[dict[str, Json]]:
    return [user_item(user) for user in sorted(broker.users, key=lambda user: user.name)]


def user_limits(user: User) -> dict[str, Json]:
    limits = zip(USER_LIMITS, (user.max_connections, user.max_channels), strict=True)
    return {key: limit for key, limit in limits if limit is not None}


def check_name(kind: str, name: str) -> None:
    """Let a name be one. Raises InvalidValueError."""
    if not name:
        raise InvalidValueError(f"{kind} name cannot be empty")
    try:
        octets = name.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise InvalidValueError(f"{kind} name is no Unicode text") from None
    if len(octets) > MAX_NAME_OCTETS:
        raise InvalidValueError(f"{kind} name is longer than {MAX_NAME_OCTETS} octets")


def check_tags(tags: Sequence[str]) -> None:
    if len(tags) > MAX_TAGS:
        raise InvalidValueError(f"a user can have at most {MAX_TAGS} tags")
    if not all(tags):
        raise InvalidValueError("a tag cannot be empty")


def check_limits(limits: Json, known: Sequence[str]) -> Mapping[str, int]:
    """Read limits: a mapping of known names to integers. Raises InvalidValueError."""
    if not isinstance(limits, dict):
        raise validation_failed(f"limits should be a JSON object, actually was {erlang(limits)}")
    checked: dict[str, int] = {}
    for key, value in limits.items():
        if key not in known:
            raise validation_failed(f"Unrecognised terms [{{{erlang(key)},{erlang(value)}}}] in limits")
        if not isinstance(value, int) or isinstance(value, bool):
            raise validation_failed(f"{key} should be an integer, actually was {erlang(value)}")
        checked[key] = value
    return checked


def _hash(password: str | PasswordHash) -> PasswordHash:
    return password if isinstance(password, PasswordHash) else PasswordHash.of(_octets(password))


def _octets(password: str) -> bytes:
    """What a client would send; a command line that is no UTF-8 comes with surrogates."""
    return password.encode("utf-8", "surrogateescape")


def _tell_tags(broker: Broker, name: str, tags: Sequence[str], by: str) -> None:
    broker.events.emit(EventKind.USER_TAGS_SET, name=name, tags=list(tags), user_who_performed_action=by)
