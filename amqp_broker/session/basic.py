"""The methods of class basic: publish, consume, get, ack and their kin (chapter 5)."""

from __future__ import annotations

from typing import Final

from amqp_broker.auth.permissions import Access
from amqp_broker.errors import (
    AMQPError,
    access_refused,
    entity,
    not_allowed,
    not_implemented,
    precondition_failed,
)
from amqp_broker.message import Message, new_message
from amqp_broker.queues.arguments import QueueType, consumer_priority
from amqp_broker.queues.consumer import Consumer
from amqp_broker.queues.queue import Queue
from amqp_broker.queues.reply import REPLY_TO, ReplyConsumer
from amqp_broker.queues.stream import StreamQueue
from amqp_broker.routing.duplicates import remember
from amqp_broker.routing.exchange import Exchange
from amqp_broker.session import news, tracing
from amqp_broker.session.channel import Channel
from amqp_broker.session.publishing import INSPECTED, authorize_keys, check_user_id, inspect, too_large
from amqp_broker.session.settle import ACK, Outcome, ack_one, settle
from amqp_broker.session.topology import generated_name, readable_queue
from amqp_broker.vhost import Route
from amqp_codec import (
    BasicAck,
    BasicCancel,
    BasicCancelOk,
    BasicConsume,
    BasicConsumeOk,
    BasicGet,
    BasicGetEmpty,
    BasicNack,
    BasicQos,
    BasicQosOk,
    BasicRecover,
    BasicRecoverAsync,
    BasicRecoverOk,
    BasicReject,
    ContentHeader,
    PublishCommand,
    ReplyCode,
)
from amqp_codec.properties import FLAG_USER_ID

MANDATORY: Final = 1
IMMEDIATE: Final = 2


def on_basic_publish(channel: Channel, command: PublishCommand) -> None:
    """Route a message and put it into its queues; the order of the checks is rule 5.1's."""
    if command.bits & IMMEDIATE:
        raise not_implemented("immediate=true")
    body = command.body
    header = command.header
    if body is None:
        raise too_large(header.body_size, channel.connection.config.max_message_octets)
    vhost = channel.vhost
    route = vhost.routes.get(command.address)
    if route is None:
        channel.authorize(Access.WRITE, "exchange", command.exchange)
        route = vhost.find_route(command.address)
    elif route.exchange is not channel.writable:
        channel.authorize(Access.WRITE, "exchange", route.exchange.name)
        if route.exchange.type != "topic" or not channel.rights.has_topics:
            channel.writable = route.exchange
    message = new_message(command.address, header, body)
    flags = header.flags
    if flags & INSPECTED:
        inspect(message, channel.requester)
    if route.exchange is not channel.writable:
        authorize_keys(channel.rights, route.exchange, message)
    if flags & FLAG_USER_ID:
        check_user_id(channel.connection, header)
    if not route.cacheable or message.extra_keys:
        route = _inspected_route(channel, route.exchange, message, header)
    queues = route.queues
    counters = channel.unacked.counters
    counters.publish += 1
    channel.sizes.count(len(body))
    route.counters.publish_in += 1
    route.counters.publish_out += len(queues)
    confirms = channel.confirms
    if confirms is not None:
        confirms.published += 1
        channel.connection.owe_confirms(channel)
    elif channel.transaction is not None:
        channel.transaction.published(message, route, bool(command.bits & MANDATORY))
        return
    if not route.is_routed:
        if command.bits & MANDATORY:
            counters.return_unroutable += 1
            channel.connection.send_return(channel, message)
        else:
            counters.drop_unroutable += 1
        if not queues:
            return
    if confirms is None:
        accepted = vhost.publish(message, queues)
    else:
        stored_before = vhost.storage.stored_count
        accepted = vhost.publish(message, queues)
        if vhost.storage.stored_count != stored_before:
            confirms.must_wait = True
        if not accepted:
            confirms.refuse_last()
    if route.admitted and accepted:
        remember(route.admitted, message.header.properties)


def on_basic_consume(channel: Channel, method: BasicConsume) -> None:
    tag = method.consumer_tag or generated_name("amq.ctag")
    if tag in channel.consumers or (channel.requester is not None and channel.requester.tag == tag):
        raise not_allowed(f"attempt to reuse consumer tag '{tag}'")
    limit = channel.connection.config.max_consumers_per_channel
    if limit is not None and len(channel.consumers) >= limit:
        raise not_allowed(f"reached maximum ({limit}) of consumers per channel")
    if method.queue == REPLY_TO:
        _consume_replies(channel, tag, method)
        return
    queue = readable_queue(channel, method.queue)
    _refuse_exclusive_use(channel, queue, method.exclusive)
    if isinstance(queue, StreamQueue):
        has_prefetch = bool(channel.prefetch_count or channel.unacked.prefetch_count)
        queue.check_consumer(method.arguments, has_prefetch=has_prefetch, no_ack=method.no_ack)
    consumer = Consumer(
        tag,
        queue,
        channel.unacked,
        no_ack=method.no_ack,
        exclusive=method.exclusive,
        priority=consumer_priority(method.arguments, queue.options.type, queue.name, channel.vhost.name),
        prefetch_count=channel.prefetch_count,
        arguments=method.arguments,
        on_cancelled=channel.consumer_cancelled,
    )
    channel.watch(consumer)
    channel.consumers[tag] = consumer
    if not method.no_wait:
        channel.send(BasicConsumeOk(consumer_tag=tag))
    queue.add_consumer(consumer)
    news.consumer_created(channel, consumer)
    queue.dispatch()


def on_basic_cancel(channel: Channel, method: BasicCancel) -> None:
    """End a subscription; what it has unacked stays with the channel (rules 5.27 and 5.28)."""
    consumer = channel.consumers.pop(method.consumer_tag, None)
    if consumer is not None:
        news.consumer_deleted(channel, consumer)
        consumer.queue.remove_consumer(consumer)
    elif channel.requester is not None and channel.requester.tag == method.consumer_tag:
        channel.drop_requester()
    if not method.no_wait:
        channel.send(BasicCancelOk(consumer_tag=method.consumer_tag))


def on_basic_cancel_ok(_channel: Channel, _method: BasicCancelOk) -> None:
    """Take a client's answer to the broker's cancel; there is nothing to do (rule 5.45)."""


def on_basic_get(channel: Channel, method: BasicGet) -> None:
    queue = readable_queue(channel, method.queue)
    refuse_get(queue, channel.vhost.name)
    entry = queue.get()
    counted = (queue.counters, channel.unacked.counters)
    if entry is None:
        for counters in counted:
            counters.get_empty += 1
        channel.send(BasicGetEmpty())
        return
    message = queue.outgoing(entry)
    redelivered = entry.redelivered
    if method.no_ack:
        tag = channel.unacked.take_tag()
        queue.let_go(entry)
    else:
        tag = channel.unacked.add(entry)
    for counters in counted:
        counters.get += not method.no_ack
        counters.get_no_ack += method.no_ack
        counters.redeliver += redelivered
    payload = b"".join(
        (
            b"\x00\x3c\x00\x47",
            tag.to_bytes(8, "big"),
            b"\x01" if redelivered else b"\x00",
            message.address,
            queue.message_count.to_bytes(4, "big"),
        )
    )
    channel.unacked.outbox.push_content(channel.id, payload, message.header.raw, message.body)
    if channel.unacked.tap is not None:
        channel.unacked.tap(queue.name, message, redelivered)


def on_basic_qos(channel: Channel, method: BasicQos) -> None:
    """Set a limit: for the consumers to come, or for all of the channel together (5.32 to 5.37)."""
    if method.prefetch_size:
        raise not_implemented(f"prefetch_size!=0 ({method.prefetch_size})")
    if method.global_ and channel.connection.config.profile != "strict":
        channel.unacked.prefetch_count = method.prefetch_count
    else:
        channel.prefetch_count = method.prefetch_count
        channel.unacked.prefetch_count = 0
    channel.send(BasicQosOk())
    channel.unacked.resume_all()


def on_basic_ack(channel: Channel, method: BasicAck) -> None:
    acked(channel, method.delivery_tag, method.multiple)


def acked(channel: Channel, delivery_tag: int, multiple: bool) -> None:
    """Do what `basic.ack` asks for."""
    if multiple or channel.transaction is not None:
        _settle(channel, ACK, delivery_tag, multiple)
        return
    unacked = channel.unacked
    entry = unacked.take_one(delivery_tag)
    if entry is None:
        raise _unknown_tag(delivery_tag)
    unacked.counters.ack += 1
    ack_one(entry)
    if unacked.blocked and not unacked.has_room:
        unacked.has_room = True
        channel.connection.owe_turns(unacked)


def on_basic_nack(channel: Channel, method: BasicNack) -> None:
    outcome = Outcome.REQUEUE if method.requeue else Outcome.DISCARD
    _settle(channel, outcome, method.delivery_tag, method.multiple)


def on_basic_reject(channel: Channel, method: BasicReject) -> None:
    outcome = Outcome.REQUEUE_FAILED if method.requeue else Outcome.DISCARD
    _settle(channel, outcome, method.delivery_tag, False)


def on_basic_recover(channel: Channel, method: BasicRecover) -> None:
    """Requeue all that is out; the answer precedes what comes back of it, as with consume (rule 5.43)."""
    _refuse_recover_in_place(method.requeue)
    channel.send(BasicRecoverOk())
    _recover(channel)


def on_basic_recover_async(channel: Channel, method: BasicRecoverAsync) -> None:
    _refuse_recover_in_place(method.requeue)
    _recover(channel)


def _consume_replies(channel: Channel, tag: str, method: BasicConsume) -> None:
    """Make the channel a requester (rule 5.48)."""
    if channel.requester is not None:
        raise precondition_failed("reply consumer already set")
    if not method.no_ack:
        raise precondition_failed("reply consumer cannot acknowledge")
    channel.requester = ReplyConsumer(tag, channel.unacked, channel.connection.config.outbox_limit_octets)
    channel.vhost.add_requester(channel.requester)
    if not method.no_wait:
        channel.send(BasicConsumeOk(consumer_tag=tag))


def _settle(channel: Channel, outcome: Outcome, tag: int, multiple: bool) -> None:
    """Settle deliveries now, or at commit; a tag that is not out is an error at once (rule 5.39)."""
    taken = channel.unacked.take(tag, multiple)
    if taken is None:
        raise _unknown_tag(tag)
    if channel.transaction is not None:
        channel.transaction.settlements.append((outcome, taken))
    else:
        settle(channel.unacked, outcome, taken)


def _refuse_recover_in_place(requeue: bool) -> None:
    if not requeue:
        raise not_implemented("requeue=false")


def _recover(channel: Channel) -> None:
    settle(channel.unacked, Outcome.REQUEUE, channel.unacked.take_all())


def _unknown_tag(tag: int) -> AMQPError:
    return precondition_failed(f"unknown delivery tag {tag}")


def _inspected_route(channel: Channel, exchange: Exchange, message: Message, header: ContentHeader) -> Route:
    """Route a message for which that has to be done anew, in a vhost that may do something to each."""
    vhost = channel.vhost
    if vhost.interceptor is not None:
        header = message.header = vhost.interceptor(message.header)
    route = vhost.route(exchange, message.routing_keys, header.properties)
    if route.is_repeated and channel.confirms is not None:
        channel.confirms.must_wait = True
    if vhost.is_tracing:
        tracing.published(tracing.party_of(channel), message, route)
    return route


def _refuse_exclusive_use(channel: Channel, queue: Queue, exclusive: bool) -> None:
    """An exclusive consumer wants to be, and to stay, alone (rules 5.31 and 4.58)."""
    if queue.options.type is QueueType.QUORUM:
        return
    wants_alone = exclusive and (len(queue.consumers) or queue.options.single_active_consumer)
    if wants_alone or queue.consumers.exclusive is not None:
        raise access_refused(f"{entity('queue', queue.name, channel.vhost.name)} in exclusive use")


def refuse_get(queue: Queue, vhost: str) -> None:
    """Let nobody fetch from a quorum queue with a single active consumer (rule 4.58). Raises AMQPError 405."""
    if queue.options.type is QueueType.QUORUM and queue.options.single_active_consumer:
        raise AMQPError(
            ReplyCode.RESOURCE_LOCKED,
            f"cannot obtain access to locked {entity('queue', queue.name, vhost)}. basic.get "
            "operations are not supported by quorum queues with single active consumer",
        )
