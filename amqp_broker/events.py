"""News of the broker for whoever wants it: the event exchange, the log, a page that shows what goes on.

Model and session emit an event where something happens; observers make of it what they like. There are
events of topology, clients and administration, none of messages: what happens for every message is
counted, and read. The names and the details are those of RabbitMQ's event exchange.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Final

import attrs

from amqp_codec import Value

log = logging.getLogger(__name__)

INTERNAL_USER: Final = "rmq-internal"
"""Who did what nobody asked for, as RabbitMQ calls it: what went because of auto-delete or expiry."""


class EventKind(StrEnum):
    """What can happen, spelled as the event exchange's routing key."""

    ALARM_SET = "alarm.set"
    ALARM_CLEARED = "alarm.cleared"
    BINDING_CREATED = "binding.created"
    BINDING_DELETED = "binding.deleted"
    CHANNEL_CREATED = "channel.created"
    CHANNEL_CLOSED = "channel.closed"
    CONNECTION_CREATED = "connection.created"
    CONNECTION_CLOSED = "connection.closed"
    CONSUMER_CREATED = "consumer.created"
    CONSUMER_DELETED = "consumer.deleted"
    EXCHANGE_CREATED = "exchange.created"
    EXCHANGE_DELETED = "exchange.deleted"
    PARAMETER_SET = "parameter.set"
    PARAMETER_CLEARED = "parameter.cleared"
    PERMISSION_CREATED = "permission.created"
    PERMISSION_DELETED = "permission.deleted"
    POLICY_SET = "policy.set"
    POLICY_CLEARED = "policy.cleared"
    QUEUE_CREATED = "queue.created"
    QUEUE_DELETED = "queue.deleted"
    TOPIC_PERMISSION_CREATED = "topic.permission.created"
    TOPIC_PERMISSION_DELETED = "topic.permission.deleted"
    USER_AUTHENTICATION_FAILURE = "user.authentication.failure"
    USER_AUTHENTICATION_SUCCESS = "user.authentication.success"
    USER_CREATED = "user.created"
    USER_DELETED = "user.deleted"
    USER_LIMITS_SET = "user.limits.set"
    USER_LIMITS_CLEARED = "user.limits.cleared"
    USER_PASSWORD_CHANGED = "user.password.changed"
    USER_PASSWORD_CLEARED = "user.password.cleared"
    USER_TAGS_SET = "user.tags.set"
    VHOST_CREATED = "vhost.created"
    VHOST_DELETED = "vhost.deleted"
    VHOST_LIMITS_SET = "vhost.limits.set"
    VHOST_LIMITS_CLEARED = "vhost.limits.cleared"


@attrs.frozen
class Event:
    """Something that has happened.

    Attributes:
        kind: what.
        details: by RabbitMQ's header names, such as `name`, `vhost` and `user_who_performed_action`.
    """

    kind: EventKind
    details: Mapping[str, Value]


Observer = Callable[[Event], None]


class Events:
    """Hands events to observers, at once and in order; without any, an event costs a call.

    Attributes:
        counts: how often each kind has happened, whether or not anybody listened.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._observers: tuple[Observer, ...] = ()

    @property
    def is_watched(self) -> bool:
        """Whether anybody listens: for those whose details are work to collect."""
        return bool(self._observers)

    def watch(self, observer: Observer) -> None:
        """Tell an observer of all that happens from now on; it must not change what it hears of."""
        self._observers += (observer,)

    def unwatch(self, observer: Observer) -> None:
        self._observers = tuple(each for each in self._observers if each != observer)

    def count(self, kind: EventKind) -> None:
        """Something has happened whose details nobody wants."""
        self.counts[kind] += 1

    def emit(self, kind: EventKind, /, **details: Value) -> None:
        """Tell that something has happened. What an observer raises is logged and concerns nobody else."""
        self.counts[kind] += 1
        if not self._observers:
            return
        event = Event(kind, details)
        for observer in self._observers:
            try:
                observer(event)
            except Exception:
                log.exception("internal error while telling of %s", kind)
