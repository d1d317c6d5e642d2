"""The methods of classes exchange and queue: declare, bind, purge, delete (chapters 3 and 4)."""

from __future__ import annotations

import secrets
from base64 import urlsafe_b64encode

from amqp_broker.auth.permissions import Access
from amqp_broker.errors import AMQPError, access_refused, not_found, precondition_failed
from amqp_broker.queues.arguments import QueueType, queue_type_of, with_default_type
from amqp_broker.queues.queue import Queue
from amqp_broker.queues.reply import REPLY_TO, is_reply_name
from amqp_broker.session.binding import Binder, clean_name, refuse_reserved_name
from amqp_broker.session.channel import Channel
from amqp_broker.session.deprecated import refuse_deprecated_queue
from amqp_codec import (
    ByteArray,
    ExchangeBind,
    ExchangeBindOk,
    ExchangeDeclare,
    ExchangeDeclareOk,
    ExchangeDelete,
    ExchangeDeleteOk,
    ExchangeUnbind,
    ExchangeUnbindOk,
    QueueBind,
    QueueBindOk,
    QueueDeclare,
    QueueDeclareOk,
    QueueDelete,
    QueueDeleteOk,
    QueuePurge,
    QueuePurgeOk,
    QueueUnbind,
    QueueUnbindOk,
    ReplyCode,
    Value,
    field_type_name,
)

NAME_PREFIX = "x-name-prefix"
"""The one argument of a queue that says how it is to be named, and is not kept (rule 4.2)."""

LONGEST_NAME_PREFIX_OCTETS = 64


def on_exchange_declare(channel: Channel, method: ExchangeDeclare) -> None:
    name = clean_name(method.exchange)
    vhost = channel.vhost
    if method.passive:
        vhost.refuse_default_exchange(name)
        channel.authorize_any("exchange", name)
        vhost.exchange(name)
    else:
        vhost.declare_exchange(
            name,
            method.type,
            durable=method.durable,
            auto_delete=method.auto_delete,
            internal=method.internal,
            arguments=method.arguments,
            authorize=channel.authorize,
            check_limit=channel.connection.broker.check_exchange_limit,
            user=channel.connection.user,
        )
    if not method.no_wait:
        channel.send_stored(ExchangeDeclareOk())


def on_exchange_delete(channel: Channel, method: ExchangeDelete) -> None:
    name = clean_name(method.exchange)
    channel.vhost.refuse_default_exchange(name)
    channel.authorize(Access.CONFIGURE, "exchange", name)
    channel.vhost.delete_exchange(name, if_unused=method.if_unused, user=channel.connection.user)
    if not method.no_wait:
        channel.send_stored(ExchangeDeleteOk())


def on_exchange_bind(channel: Channel, method: ExchangeBind) -> None:
    binder = Binder(channel.vhost, channel.rights, channel.connection)
    binder.bind_exchange(
        clean_name(method.source), clean_name(method.destination), method.routing_key, method.arguments
    )
    if not method.no_wait:
        channel.send_stored(ExchangeBindOk())


def on_exchange_unbind(channel: Channel, method: ExchangeUnbind) -> None:
    """Unbind; whatever is missing, that is what was asked for (rule 3.18)."""
    binder = Binder(channel.vhost, channel.rights, channel.connection)
    binder.unbind_exchange(
        clean_name(method.source), clean_name(method.destination), method.routing_key, method.arguments
    )
    if not method.no_wait:
        channel.send_stored(ExchangeUnbindOk())


def on_queue_declare(channel: Channel, method: QueueDeclare) -> None:
    vhost, connection = channel.vhost, channel.connection
    name = clean_name(method.queue)
    if name == REPLY_TO or is_reply_name(name):
        _declare_requester(channel, name, method)
        return
    if method.passive:
        name = name or _last_queue(channel)
        channel.authorize_any("queue", name)
        queue = vhost.usable_queue(name, connection)
        queue.redeclared()
    else:
        name = _declared_name(channel, name, method)
        if connection.config.profile == "strict" and name not in vhost.queues:
            channel.authorize(Access.CONFIGURE, "queue", name)
            refuse_deprecated_queue(
                name,
                vhost.name,
                method.arguments,
                is_transient=not method.durable,
                is_exclusive=method.exclusive,
            )
        queue = vhost.declare_queue(
            name,
            durable=method.durable,
            exclusive_owner=connection if method.exclusive else None,
            auto_delete=method.auto_delete,
            arguments={key: value for key, value in method.arguments.items() if key != NAME_PREFIX},
            connection=connection,
            authorize=channel.authorize,
            check_limit=connection.broker.check_queue_limit,
            user=channel.connection.user,
        )
        channel.generated_queue = ""
        if method.exclusive:
            connection.exclusive_queues.add(queue)
    channel.last_queue = queue.name
    if not method.no_wait:
        channel.send_stored(
            QueueDeclareOk(queue=queue.name, message_count=queue.message_count, consumer_count=len(queue.consumers))
        )


def on_queue_bind(channel: Channel, method: QueueBind) -> None:
    name, routing_key = _names_to_bind(channel, method)
    binder = Binder(channel.vhost, channel.rights, channel.connection)
    binder.bind_queue(clean_name(method.exchange), name, routing_key, method.arguments)
    if not method.no_wait:
        channel.send_stored(QueueBindOk())


def on_queue_unbind(channel: Channel, method: QueueUnbind) -> None:
    """Unbind; whatever is missing, that is what was asked for (rules 3.18 and 3.19)."""
    name, routing_key = _names_to_bind(channel, method)
    binder = Binder(channel.vhost, channel.rights, channel.connection)
    binder.unbind_queue(clean_name(method.exchange), name, routing_key, method.arguments)
    channel.send_stored(QueueUnbindOk())


def on_queue_purge(channel: Channel, method: QueuePurge) -> None:
    count = readable_queue(channel, method.queue).purge()
    if not method.no_wait:
        channel.send(QueuePurgeOk(message_count=count))


def on_queue_delete(channel: Channel, method: QueueDelete) -> None:
    """Delete; a queue that is missing has nothing in it (rule 4.19)."""
    vhost = channel.vhost
    name = clean_name(method.queue) or _last_queue(channel)
    channel.authorize(Access.CONFIGURE, "queue", name)
    count = 0
    if name in vhost.queues:
        queue = vhost.usable_queue(name, channel.connection)
        count = vhost.delete_queue(
            queue, if_unused=method.if_unused, if_empty=method.if_empty, user=channel.connection.user
        )
    if not method.no_wait:
        channel.send_stored(QueueDeleteOk(message_count=count))


def readable_queue(channel: Channel, name: str) -> Queue:
    """Find the queue a method reads from; the empty name is the last one declared (rule 2.12).

    Raises:
        AMQPError: 403, 404 or 405.
    """
    name = name or _last_queue(channel)
    channel.authorize(Access.READ, "queue", name)
    return channel.vhost.usable_queue(name, channel.connection)


def generated_name(prefix: str) -> str:
    """Make up a name: the prefix and 16 random octets as 22 characters (rules 4.1 and 5.19)."""
    return f"{prefix}-{urlsafe_b64encode(secrets.token_bytes(16)).rstrip(b'=').decode()}"


def _declare_requester(channel: Channel, name: str, method: QueueDeclare) -> None:
    """Answer whether a requester is still there; the bare name always is (rule 5.52)."""
    if name != REPLY_TO and name not in channel.vhost.requesters:
        raise not_found("queue", name, channel.vhost.name)
    if not method.no_wait:
        channel.send(QueueDeclareOk(queue=name, message_count=0, consumer_count=1))


def _declared_name(channel: Channel, name: str, method: QueueDeclare) -> str:
    """The name of a queue to be declared: given and not reserved, or made up (rules 4.1 to 4.3)."""
    refuse_reserved_name(name)
    if name:
        return name
    vhost = channel.vhost
    arguments = with_default_type(
        method.arguments,
        vhost.default_queue_type,
        durable=method.durable,
        exclusive=method.exclusive,
        auto_delete=method.auto_delete,
    )
    queue_type = queue_type_of(arguments, name, vhost.name)
    if queue_type is not QueueType.CLASSIC:
        raise precondition_failed(f"Cannot declare a server-named queue for type {queue_type}")
    channel.generated_queue = channel.generated_queue or generated_name(_name_prefix(method.arguments.get(NAME_PREFIX)))
    return channel.generated_queue


def _name_prefix(value: Value) -> str:
    """What generated names begin with: the argument `x-name-prefix` if it is there (rule 4.2)."""
    if value is None:
        return "amq.gen"
    if not isinstance(value, bytes) or isinstance(value, ByteArray):
        raise precondition_failed(f"invalid arg '{NAME_PREFIX}': {{unacceptable_type,{field_type_name(value)}}}")
    prefix = value.decode("utf-8", "replace")
    if len(value) > LONGEST_NAME_PREFIX_OCTETS:
        raise precondition_failed(f"Queue name prefix '{prefix}' exceeds the 64-byte limit")
    return prefix


def _names_to_bind(channel: Channel, method: QueueBind | QueueUnbind) -> tuple[str, str]:
    """Queue and routing key of a binding; with both empty, both are the last queue's name (rule 2.13)."""
    name = clean_name(method.queue)
    if name == REPLY_TO or is_reply_name(name):
        raise access_refused("cannot bind or unbind to a volatile (direct reply-to) queue")
    if name:
        return name, method.routing_key
    last = _last_queue(channel)
    return last, method.routing_key or last


def _last_queue(channel: Channel) -> str:
    if channel.last_queue is None:
        raise AMQPError(ReplyCode.NOT_FOUND, "no previously declared queue")
    return channel.last_queue
