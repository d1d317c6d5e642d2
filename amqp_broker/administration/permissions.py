"""Permissions of users in vhosts, for names and for routing keys (rules 8.10 to 8.14)."""

from __future__ import annotations

from amqp_broker.administration.errors import InvalidValueError
from amqp_broker.administration.users import find_user
from amqp_broker.administration.vhosts import find_vhost
from amqp_broker.auth.patterns import InvalidPatternError
from amqp_broker.auth.permissions import Permissions, TopicPermissions
from amqp_broker.broker import Broker
from amqp_broker.events import INTERNAL_USER, EventKind
from amqp_broker.registry import Json


def set_permissions(
    broker: Broker, user: str, vhost: str, configure: str, write: str, read: str, *, by: str = INTERNAL_USER
) -> bool:
    """Let a user into a vhost and say what it may do there; connections go by it from their next command on.

    Returns:
        Whether there was no such record before.

    Raises:
        VhostNotFoundError, UserNotFoundError: there is none.
        InvalidValueError: a pattern is no regular expression.
    """
    find_vhost(broker, vhost)
    is_new = vhost not in find_user(broker, user).permissions
    try:
        permissions = Permissions(configure, write, read)
    except InvalidPatternError as error:
        raise InvalidValueError(str(error)) from None
    broker.registry.set_permissions(user, vhost, permissions)
    _forget_rights(broker, user)
    broker.events.emit(
        EventKind.PERMISSION_CREATED, **permission_item(user, vhost, permissions), user_who_performed_action=by
    )
    return is_new


def clear_permissions(broker: Broker, user: str, vhost: str, *, by: str = INTERNAL_USER) -> bool:
    """Take away what a user may do in a vhost; connections stay, but can do nothing that needs leave.

    Returns:
        Whether there was anything to take.

    Raises:
        VhostNotFoundError, UserNotFoundError: there is none.
    """
    find_vhost(broker, vhost)
    if vhost not in find_user(broker, user).permissions:
        return False
    broker.registry.set_permissions(user, vhost, None)
    _forget_rights(broker, user)
    broker.events.emit(EventKind.PERMISSION_DELETED, user=user, vhost=vhost, user_who_performed_action=by)
    return True


def set_topic_permissions(
    broker: Broker, user: str, vhost: str, exchange: str, write: str, read: str, *, by: str = INTERNAL_USER
) -> bool:
    """Restrict the routing keys of a user at an exchange of type topic, which need not exist.

    Returns:
        Whether there was no such record before.

    Raises:
        VhostNotFoundError, UserNotFoundError: there is none.
        InvalidValueError: a pattern is no regular expression.
    """
    find_vhost(broker, vhost)
    is_new = (vhost, exchange) not in find_user(broker, user).topic_permissions
    try:
        permissions = TopicPermissions(write, read, user=user, vhost=vhost)
    except InvalidPatternError as error:
        raise InvalidValueError(str(error)) from None
    broker.registry.set_topic_permissions(user, vhost, exchange, permissions)
    _forget_rights(broker, user)
    broker.events.emit(
        EventKind.TOPIC_PERMISSION_CREATED,
        **topic_permission_item(user, vhost, exchange, permissions),
        user_who_performed_action=by,
    )
    return is_new


def clear_topic_permissions(
    broker: Broker, user: str, vhost: str, exchange: str | None = None, *, by: str = INTERNAL_USER
) -> bool:
    """Let a user use every routing key again, at one exchange or at all of a vhost.

    Returns:
        Whether there was any restriction.

    Raises:
        VhostNotFoundError, UserNotFoundError: there is none.
    """
    find_vhost(broker, vhost)
    there = [key for key in find_user(broker, user).topic_permissions if key[0] == vhost and exchange in (None, key[1])]
    for _, name in there:
        broker.registry.set_topic_permissions(user, vhost, name, None)
        broker.events.emit(
            EventKind.TOPIC_PERMISSION_DELETED, user=user, vhost=vhost, exchange=name, user_who_performed_action=by
        )
    if there:
        _forget_rights(broker, user)
    return bool(there)


def permission_item(user: str, vhost: str, permissions: Permissions) -> dict[str, str]:
    """A record as definitions and the management API have it."""
    configure, write, read = permissions.texts
    return {"user": user, "vhost": vhost, "configure": configure, "write": write, "read": read}


def topic_permission_item(user: str, vhost: str, exchange: str, permissions: TopicPermissions) -> dict[str, str]:
    """A record as definitions and the management API have it."""
    write, read = permissions.texts
    return {"user": user, "vhost": vhost, "exchange": exchange, "write": write, "read": read}


def list_permissions(broker: Broker, *, vhost: str | None = None, user: str | None = None) -> list[dict[str, Json]]:
    """All records, or those of one vhost or one user, by vhost and user."""
    items: list[dict[str, Json]] = [
        {**permission_item(each.name, where, permissions)}
        for each in broker.users
        for where, permissions in each.permissions.items()
        if user in (None, each.name) and vhost in (None, where)
    ]
    return sorted(items, key=lambda item: (str(item["vhost"]), str(item["user"])))


def list_topic_permissions(
    broker: Broker, *, vhost: str | None = None, user: str | None = None
) -> list[dict[str, Json]]:
    """All records, or those of one vhost or one user, by vhost, user and exchange."""
    items: list[dict[str, Json]] = [
        {**topic_permission_item(each.name, where, exchange, permissions)}
        for each in broker.users
        for (where, exchange), permissions in each.topic_permissions.items()
        if user in (None, each.name) and vhost in (None, where)
    ]
    return sorted(items, key=lambda item: (str(item["vhost"]), str(item["user"]), str(item["exchange"])))


def _forget_rights(broker: Broker, user: str) -> None:
    for client in broker.clients_of(user):
        client.forget_rights()
