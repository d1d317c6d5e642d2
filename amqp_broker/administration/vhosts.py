"""Vhosts: what describes them, and their limits (rules 1.33, 4.16, 8.8 and 8.9)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from amqp_broker.administration.errors import InvalidValueError, ProtectedError, TooManyVhostsError, VhostNotFoundError
from amqp_broker.administration.users import check_limits, check_name
from amqp_broker.broker import Broker
from amqp_broker.events import INTERNAL_USER, EventKind
from amqp_broker.queues.arguments import QueueType
from amqp_broker.registry import LIMITS_NAME, VHOST_LIMITS, Json
from amqp_broker.vhost import Vhost

KNOWN_LIMITS: Final = ("max-connections", "max-queues")


def add_vhost(
    broker: Broker,
    name: str,
    *,
    description: str | None = None,
    tags: Sequence[str] | None = None,
    default_queue_type: str | None = None,
    is_tracing: bool | None = None,
    by: str = INTERNAL_USER,
) -> bool:
    """Make a vhost, which can be opened at once; of one that is there, change what is given.

    Returns:
        Whether it is new.

    Raises:
        InvalidValueError: the name, or a queue type nobody knows.
        TooManyVhostsError: it would be a further one (rule 8.8).
    """
    check_name("vhost", name)
    queue_type = None if default_queue_type is None else check_queue_type(default_queue_type)
    vhost = broker.vhosts.get(name)
    is_new = vhost is None
    if vhost is None:
        if broker.max_vhosts is not None and len(broker.vhosts) >= broker.max_vhosts:
            raise TooManyVhostsError(name, broker.config.max_vhosts)
        vhost = broker.make_vhost(name)
    if description is not None:
        vhost.description = description
    if tags is not None:
        vhost.tags = tuple(tags)
    if queue_type is not None:
        vhost.default_queue_type = queue_type
    if is_tracing is not None:
        broker.set_tracing(name, is_tracing)
    broker.vhost_changed(vhost)  # once, so that nobody who shares it sees it half described
    if is_new:
        broker.registry.let_in(broker.config.default_users, name)
        broker.events.emit(
            EventKind.VHOST_CREATED,
            name=name,
            description=vhost.description,
            tags=list(vhost.tags),
            user_who_performed_action=by,
        )
    return is_new


def delete_vhost(broker: Broker, name: str, *, by: str = INTERNAL_USER) -> None:
    """Delete a vhost with everything in it, and close its connections (rule 1.33).

    Raises:
        VhostNotFoundError: there is none.
        ProtectedError: somebody has forbidden it.
    """
    if find_vhost(broker, name).is_protected:
        raise ProtectedError(name)
    broker.delete_vhost(name, by)
    broker.events.emit(EventKind.VHOST_DELETED, name=name, user_who_performed_action=by)


def set_protection(broker: Broker, name: str, is_protected: bool) -> None:
    """Forbid or allow to delete a vhost. Raises VhostNotFoundError."""
    vhost = find_vhost(broker, name)
    vhost.is_protected = is_protected
    broker.vhost_changed(vhost)


def set_vhost_limits(broker: Broker, name: str, limits: Json, *, by: str = INTERNAL_USER) -> None:
    """Set the limits of a vhost, by RabbitMQ's names; those that aren't named are removed.

    Raises:
        VhostNotFoundError: there is none.
        InvalidValueError: an unknown limit, or not an integer.
    """
    find_vhost(broker, name)
    checked = check_limits(limits, KNOWN_LIMITS)
    broker.registry.set_parameter(name, VHOST_LIMITS, LIMITS_NAME, dict(checked))
    broker.apply_parameters(name)
    broker.events.emit(
        EventKind.VHOST_LIMITS_SET, name=LIMITS_NAME, vhost=name, user_who_performed_action=by, **checked
    )


def clear_vhost_limits(broker: Broker, name: str, limit: str | None = None, *, by: str = INTERNAL_USER) -> None:
    """Remove one limit of a vhost, or all.

    Raises:
        VhostNotFoundError: there is none.
    """
    find_vhost(broker, name)
    left = {key: value for key, value in vhost_limits(broker, name).items() if limit is not None and key != limit}
    if left:
        set_vhost_limits(broker, name, left, by=by)
        return
    if (name, VHOST_LIMITS, LIMITS_NAME) in broker.registry.parameters:
        broker.registry.clear_parameter(name, VHOST_LIMITS, LIMITS_NAME)
    broker.apply_parameters(name)
    broker.events.emit(EventKind.VHOST_LIMITS_CLEARED, name=LIMITS_NAME, vhost=name, user_who_performed_action=by)


def vhost_limits(broker: Broker, name: str) -> dict[str, Json]:
    """The limits that were set."""
    limits = broker.registry.parameters.get((name, VHOST_LIMITS, LIMITS_NAME))
    return limits if isinstance(limits, dict) else {}


def find_vhost(broker: Broker, name: str) -> Vhost:
    """Look up a vhost. Raises VhostNotFoundError."""
    vhost = broker.vhosts.get(name)
    if vhost is None:
        raise VhostNotFoundError(name)
    return vhost


def vhost_item(vhost: Vhost) -> dict[str, Json]:
    """A vhost as the management API has it, without what is counted."""
    return {
        "name": vhost.name,
        "description": vhost.description,
        "tags": list(vhost.tags),
        "default_queue_type": str(vhost.default_queue_type),
        "metadata": vhost_metadata(vhost),
        "tracing": vhost.is_tracing,
        "protected_from_deletion": vhost.is_protected,
    }


def vhost_metadata(vhost: Vhost) -> dict[str, Json]:
    return {
        "description": vhost.description,
        "tags": list(vhost.tags),
        "default_queue_type": str(vhost.default_queue_type),
    }


def list_vhosts(broker: Broker) -> list[dict[str, Json]]:
    return [vhost_item(broker.vhosts[name]) for name in sorted(broker.vhosts)]


def check_queue_type(name: str) -> QueueType:
    """Read the name of a queue type, also RabbitMQ's own ones. Raises InvalidValueError."""
    try:
        return QueueType(name.removeprefix("rabbit_").removesuffix("_queue"))
    except ValueError:
        raise InvalidValueError(f"Unsupported default queue type: '{name}'") from None
