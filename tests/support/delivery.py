"""What a client does with messages, in a word each: settle, limit, confirm, commit; and refusals of it."""

from __future__ import annotations

from amqp_codec import (
    BasicAck,
    BasicCancel,
    BasicCancelOk,
    BasicNack,
    BasicQos,
    BasicQosOk,
    BasicRecover,
    BasicRecoverOk,
    BasicReject,
    ConfirmSelect,
    ConfirmSelectOk,
    Method,
    TxCommit,
    TxCommitOk,
    TxRollback,
    TxRollbackOk,
    TxSelect,
    TxSelectOk,
)
from tests.support.client import ChannelClient

BASIC_PUBLISH = (60, 40)


def ack(channel: ChannelClient, tag: int, *, multiple: bool = False) -> None:
    channel.send(BasicAck(delivery_tag=tag, multiple=multiple))


def nack(channel: ChannelClient, tag: int, *, multiple: bool = False, requeue: bool = True) -> None:
    channel.send(BasicNack(delivery_tag=tag, multiple=multiple, requeue=requeue))


def reject(channel: ChannelClient, tag: int, *, requeue: bool = True) -> None:
    channel.send(BasicReject(delivery_tag=tag, requeue=requeue))


def recover(channel: ChannelClient) -> None:
    """Have everything unacked requeued; what comes back comes after this."""
    channel.call(BasicRecover(requeue=True), BasicRecoverOk)


def qos(channel: ChannelClient, count: int, *, shared: bool = False) -> None:
    """Set the prefetch count: of consumers to come, or one shared by all of the channel."""
    channel.call(BasicQos(prefetch_count=count, global_=shared), BasicQosOk)


def cancel(channel: ChannelClient, tag: str) -> None:
    assert channel.call(BasicCancel(consumer_tag=tag), BasicCancelOk).consumer_tag == tag


def confirm_select(channel: ChannelClient) -> ChannelClient:
    channel.call(ConfirmSelect(), ConfirmSelectOk)
    return channel


def tx_select(channel: ChannelClient) -> ChannelClient:
    channel.call(TxSelect(), TxSelectOk)
    return channel


def commit(channel: ChannelClient) -> None:
    channel.call(TxCommit(), TxCommitOk)


def rollback(channel: ChannelClient) -> None:
    channel.call(TxRollback(), TxRollbackOk)


def closes_channel(channel: ChannelClient, method: Method, code: int, text: str) -> None:
    """Send a method that costs the channel; code, whole text and the ids of the method are checked."""
    channel.send(method)
    _expect_channel_closed(channel, (method.class_id, method.method_id), code, text)


def publish_closes_channel(channel: ChannelClient, code: int, text: str) -> None:
    """The publish just sent has cost the channel."""
    _expect_channel_closed(channel, BASIC_PUBLISH, code, text)


def closes_connection(channel: ChannelClient, method: Method, code: int, text: str) -> None:
    """Send a method that costs the connection."""
    channel.send(method)
    _expect_connection_closed(channel, (method.class_id, method.method_id), code, text)


def publish_closes_connection(channel: ChannelClient, code: int, text: str) -> None:
    """The publish just sent has cost the connection."""
    _expect_connection_closed(channel, BASIC_PUBLISH, code, text)


def _expect_channel_closed(channel: ChannelClient, ids: tuple[int, int], code: int, text: str) -> None:
    close = channel.expect_close(code, text)
    assert (close.failing_class_id, close.failing_method_id) == ids
    channel.expect_nothing()


def _expect_connection_closed(channel: ChannelClient, ids: tuple[int, int], code: int, text: str) -> None:
    close = channel.client.expect_close(code, text)
    assert (close.failing_class_id, close.failing_method_id) == ids
    channel.expect_nothing()
