"""Exchanges, queues and bindings in a word each, and refusals checked to the last letter."""

from __future__ import annotations

from collections.abc import Iterable

from amqp_codec import (
    BasicAck,
    BasicNack,
    BasicReject,
    ConfirmSelect,
    ConfirmSelectOk,
    ExchangeBind,
    ExchangeBindOk,
    ExchangeDeclare,
    ExchangeDeclareOk,
    ExchangeDelete,
    ExchangeDeleteOk,
    ExchangeUnbind,
    ExchangeUnbindOk,
    Method,
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
    Table,
)
from tests.support.client import ChannelClient, Delivery


def refused(channel: ChannelClient, method: Method, code: int, text: str) -> None:
    """Send what closes the channel, check code and whole text, and open the channel again."""
    channel.send(method)
    reopen_after(channel, code, text)


def reopen_after(channel: ChannelClient, code: int, text: str) -> None:
    """Take the `channel.close` that is to have come, and open the channel again."""
    channel.expect_close(code, text)
    channel.expect_nothing()
    channel.client.channel(channel.id)


def connection_refused(channel: ChannelClient, method: Method, code: int, text: str) -> None:
    """Send what closes the connection, and check code and whole text."""
    channel.send(method)
    channel.client.expect_close(code, text)


# Declares


def exchange(channel: ChannelClient, name: str, kind: str = "direct", **options: object) -> str:
    method = ExchangeDeclare(exchange=name, type=kind, **options)  # type: ignore[arg-type]
    channel.call(method, ExchangeDeclareOk)
    return name


def has_exchange(channel: ChannelClient, name: str) -> bool:
    """Ask by a passive declare, whose 404 is checked."""
    channel.send(ExchangeDeclare(exchange=name, passive=True))
    return _is_there(channel, ExchangeDeclareOk, f"exchange '{name}'")


def has_queue(channel: ChannelClient, name: str) -> bool:
    """Ask by a passive declare, whose 404 is checked; it renews the lease of a queue that expires."""
    channel.send(QueueDeclare(queue=name, passive=True))
    return _is_there(channel, QueueDeclareOk, f"queue '{name}'")


def _is_there(channel: ChannelClient, answer: type[Method], what: str) -> bool:
    channel.client.pump()
    if isinstance(channel.client.inbox[0].method, answer):
        channel.expect(answer)
        return True
    reopen_after(channel, 404, f"NOT_FOUND - no {what} in vhost '/'")
    return False


def queue_with(channel: ChannelClient, name: str, arguments: Table, **options: object) -> str:
    """Declare a queue with x-arguments."""
    return channel.queue(name, arguments=arguments, **options)


def quorum_queue(channel: ChannelClient, name: str, **arguments: object) -> str:
    """Declare a quorum queue; `delivery_limit=2` is `x-delivery-limit`."""
    table: Table = {"x-queue-type": b"quorum"}
    for key, value in arguments.items():
        table[f"x-{key.replace('_', '-')}"] = value  # type: ignore[assignment]
    return channel.queue(name, durable=True, arguments=table)


def delete_exchange(channel: ChannelClient, name: str, **options: object) -> None:
    channel.call(ExchangeDelete(exchange=name, **options), ExchangeDeleteOk)  # type: ignore[arg-type]


def delete_queue(channel: ChannelClient, name: str, **options: object) -> int:
    """Delete a queue; gives the number of messages it had."""
    return channel.call(QueueDelete(queue=name, **options), QueueDeleteOk).message_count  # type: ignore[arg-type]


def purge(channel: ChannelClient, name: str) -> int:
    return channel.call(QueuePurge(queue=name), QueuePurgeOk).message_count


# Bindings


def bind(
    channel: ChannelClient, queue: str, source: str, routing_key: str = "", arguments: Table | None = None
) -> None:
    method = QueueBind(queue=queue, exchange=source, routing_key=routing_key, arguments=arguments or {})
    channel.call(method, QueueBindOk)


def unbind(
    channel: ChannelClient, queue: str, source: str, routing_key: str = "", arguments: Table | None = None
) -> None:
    method = QueueUnbind(queue=queue, exchange=source, routing_key=routing_key, arguments=arguments or {})
    channel.call(method, QueueUnbindOk)


def bind_exchange(
    channel: ChannelClient, destination: str, source: str, routing_key: str = "", arguments: Table | None = None
) -> None:
    method = ExchangeBind(destination=destination, source=source, routing_key=routing_key, arguments=arguments or {})
    channel.call(method, ExchangeBindOk)


def unbind_exchange(
    channel: ChannelClient, destination: str, source: str, routing_key: str = "", arguments: Table | None = None
) -> None:
    method = ExchangeUnbind(destination=destination, source=source, routing_key=routing_key, arguments=arguments or {})
    channel.call(method, ExchangeUnbindOk)


def reaches(channel: ChannelClient, source: str, routing_key: str, queues: Iterable[str]) -> set[str]:
    """Publish once; gives those of the queues that got it, and checks that none got it twice."""
    channel.publish(routing_key, b"?", exchange=source)
    got = {queue: channel.drain(queue) for queue in queues}
    assert all(bodies in ([], [b"?"]) for bodies in got.values()), got
    return {queue for queue, bodies in got.items() if bodies}


# Confirms and settlements


def confirming(channel: ChannelClient) -> ChannelClient:
    channel.call(ConfirmSelect(), ConfirmSelectOk)
    return channel


def expect_ack(channel: ChannelClient, number: int) -> None:
    assert channel.expect(BasicAck) == BasicAck(delivery_tag=number)
    channel.expect_nothing()


def expect_nack(channel: ChannelClient, number: int) -> None:
    assert channel.expect(BasicNack) == BasicNack(delivery_tag=number)
    channel.expect_nothing()


def got(channel: ChannelClient, queue: str) -> Delivery:
    """Get a message that is to be there, without acking it."""
    delivery = channel.get(queue, no_ack=False)
    assert delivery is not None, f"nothing in {queue}"
    return delivery


def reject(channel: ChannelClient, delivery: Delivery, *, requeue: bool = False) -> None:
    channel.send(BasicReject(delivery_tag=delivery.tag, requeue=requeue))
