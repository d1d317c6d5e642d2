"""The methods of classes exchange and queue: declare, bind, purge, delete (chapters 3 and 4)."""

from __future__ import annotations

import secrets
from base64 import urlsafe_b64encode

from amqp_broker.auth.permissions import Access
from amqp_broker.errors import AMQPError, access_refused, not_found, precondition_failed
from amqp_broker.queues.arguments import QueueType, queue_type_of, with_default_type
from amqp_broker.queues.queue import Queue
from amqp_broker.queues.reply import REPLY_TO, is_reply_name
from amqp_broker.session.channel import Channel
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

RESERVED_PREFIX = "amq."

NAME_PREFIX = "x-name-prefix"
"""The one argument of a queue that says how it is to be named, and is not kept (rule 4.2)."""

LONGEST_NAME_PREFIX_OCTETS = 64


def on_exchange_declare(channel: Channel, method: ExchangeDeclare) -> None:
    name = _clean(method.exchange)
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
    name = _clean(method.exchange)
    channel.vhost.refuse_default_exchange(name)
    channel.authorize(Access.CONFIGURE, "exchange", name)
    channel.vhost.delete_exchange(name, if_unused=method.if_unused, user=channel.connection.user)
    if not method.no_wait:
        channel.send_stored(ExchangeDeleteOk())


def on_exchange_bind(channel: Channel, method: ExchangeBind) -> None:
    vhost = channel.vhost
    source, destination = _clean(method.source), _clean(method.destination)
    _authorize_binding(channel, "exchange", destination, source, method.routing_key)
    vhost.bind(
        vhost.exchange(source),
        vhost.exchange(destination),
        method.routing_key,
        method.arguments,
        user=channel.connection.user,
    )
    if not method.no_wait:
        channel.send_stored(ExchangeBindOk())


def on_exchange_unbind(channel: Channel, method: ExchangeUnbind) -> None:
    """Unbind; whatever is missing, that is what was asked for (rule 3.18)."""
    vhost = channel.vhost
    source_name, destination_name = _clean(method.source), _clean(method.destination)
    _authorize_binding(channel, "exchange", destination_name, source_name, method.routing_key)
    source, destination = vhost.exchanges.get(source_name), vhost.exchanges.get(destination_name)
    if source is not None and destination is not None:
        vhost.unbind(source, destination, method.routing_key, method.arguments, user=channel.connection.user)
    if not method.no_wait:
        channel.send_stored(ExchangeUnbindOk())


def on_queue_declare(channel: Channel, method: QueueDeclare) -> None:
    vhost, connection = channel.vhost, channel.connection
    name = _clean(method.queue)
    if name == REPLY_TO or is_reply_name(name):
        _declare_requester(channel, name, method)
        return
    if method.passive:
        name = name or _last_queue(channel)
        channel.authorize_any("queue", name)
        queue = vhost.usable_queue(name, connection)
        queue.redeclared()
    else:
        queue = vhost.declare_queue(
            _declared_name(channel, name, method),
            durable=method.durable,
            exclusive_owner=connection if method.exclusive else None,
            auto_delete=method.auto_delete,
            arguments={key: value for key, value in method.arguments.items() if key != NAME_PREFIX},
            connection=connection,
            authorize=channel.authorize,
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
    vhost = channel.vhost
    name, routing_key = _names_to_bind(channel, method)
    exchange_name = _clean(method.exchange)
    _authorize_binding(channel, "queue", name, exchange_name, routing_key)
    exchange = vhost.exchange(exchange_name)
    queue = vhost.queue(name)
    vhost.check_binding(exchange, queue, routing_key, method.arguments)
    queue = vhost.usable_queue(name, channel.connection)
    vhost.bind(exchange, queue, routing_key, method.arguments, user=channel.connection.user)
    if not method.no_wait:
        channel.send_stored(QueueBindOk())


def on_queue_unbind(channel: Channel, method: QueueUnbind) -> None:
    """Unbind; whatever is missing, that is what was asked for (rules 3.18 and 3.19)."""
    vhost = channel.vhost
    name, routing_key = _names_to_bind(channel, method)
    exchange_name = _clean(method.exchange)
    _authorize_binding(channel, "queue", name, exchange_name, routing_key)
    exchange, queue = vhost.exchanges.get(exchange_name), vhost.queues.get(name)
    if exchange is not None and queue is not None:
        if exchange.find_binding(queue, routing_key, method.arguments) is not None:
            vhost.usable_queue(name, channel.connection)
        vhost.unbind(exchange, queue, routing_key, method.arguments, user=channel.connection.user)
    channel.send_stored(QueueUnbindOk())


def on_queue_purge(channel: Channel, method: QueuePurge) -> None:
    count = readable_queue(channel, method.queue).purge()
    if not method.no_wait:
        channel.send(QueuePurgeOk(message_count=count))


def on_queue_delete(channel: Channel, method: QueueDelete) -> None:
    """Delete; a queue that is missing has nothing in it (rule 4.19)."""
    vhost = channel.vhost
    name = _clean(method.queue) or _last_queue(channel)
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
    if name.startswith(RESERVED_PREFIX):
        raise access_refused(f"queue name '{name}' contains reserved prefix 'amq.*'")
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
    name = _clean(method.queue)
    if name == REPLY_TO or is_reply_name(name):
        raise access_refused("cannot bind or unbind to a volatile (direct reply-to) queue")
    if name:
        return name, method.routing_key
    last = _last_queue(channel)
    return last, method.routing_key or last


def _authorize_binding(channel: Channel, kind: str, destination: str, source: str, routing_key: str) -> None:
    """Let the user bind or unbind: write on the destination, read on the source and the key (rule 3.19)."""
    if kind == "exchange":
        channel.vhost.refuse_default_exchange(destination)
    channel.authorize(Access.WRITE, kind, destination)
    channel.vhost.refuse_default_exchange(source)
    channel.authorize(Access.READ, "exchange", source)
    exchange = channel.vhost.exchanges.get(source)
    if exchange is not None and exchange.type == "topic" and channel.rights.has_topics:
        channel.rights.demand_key(Access.READ, source, routing_key)


def _last_queue(channel: Channel) -> str:
    if channel.last_queue is None:
        raise AMQPError(ReplyCode.NOT_FOUND, "no previously declared queue")
    return channel.last_queue


def _clean(name: str) -> str:
    """CR and LF are not part of a name, wherever they stand in it (rule 3.5)."""
    return name.replace("\r", "").replace("\n", "")
