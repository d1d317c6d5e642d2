"""Which function handles which method of a channel: the index of the protocol.

Methods that only a server sends are not here; a client that sends one is told so (rule 1.54).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from amqp_broker.errors import not_implemented, precondition_failed
from amqp_broker.session import basic, topology, tx
from amqp_broker.session.channel import Channel
from amqp_broker.session.confirms import Confirms
from amqp_codec import (
    AccessRequest,
    AccessRequestOk,
    BasicAck,
    BasicCancel,
    BasicCancelOk,
    BasicConsume,
    BasicGet,
    BasicNack,
    BasicQos,
    BasicRecover,
    BasicRecoverAsync,
    BasicReject,
    ChannelFlow,
    ChannelFlowOk,
    ConfirmSelect,
    ConfirmSelectOk,
    ExchangeBind,
    ExchangeDeclare,
    ExchangeDelete,
    ExchangeUnbind,
    Method,
    QueueBind,
    QueueDeclare,
    QueueDelete,
    QueuePurge,
    QueueUnbind,
    TxCommit,
    TxRollback,
    TxSelect,
)


def on_channel_flow(channel: Channel, method: ChannelFlow) -> None:
    """A client may only say that it goes on (rule 2.7)."""
    if not method.active:
        raise not_implemented("active=false")
    channel.send(ChannelFlowOk(active=True))


def on_access_request(channel: Channel, _method: AccessRequest) -> None:
    """Tickets have meant nothing for a long time (rule 2.8)."""
    channel.send(AccessRequestOk(ticket=1))


def on_confirm_select(channel: Channel, method: ConfirmSelect) -> None:
    """Begin to number publishes; a second time changes nothing (rule 6.1)."""
    if channel.transaction is not None:
        raise precondition_failed("cannot switch from tx to confirm mode")
    if channel.confirms is None:
        channel.confirms = Confirms(channel.vhost.storage, channel.connection.broker.answer_confirms_with(channel.send))
    if not method.no_wait:
        channel.send(ConfirmSelectOk())


HANDLERS: Final[Mapping[type[Method], Callable[[Channel, Any], None]]] = {
    AccessRequest: on_access_request,
    BasicAck: basic.on_basic_ack,
    BasicCancel: basic.on_basic_cancel,
    BasicCancelOk: basic.on_basic_cancel_ok,
    BasicConsume: basic.on_basic_consume,
    BasicGet: basic.on_basic_get,
    BasicNack: basic.on_basic_nack,
    BasicQos: basic.on_basic_qos,
    BasicRecover: basic.on_basic_recover,
    BasicRecoverAsync: basic.on_basic_recover_async,
    BasicReject: basic.on_basic_reject,
    ChannelFlow: on_channel_flow,
    ConfirmSelect: on_confirm_select,
    ExchangeBind: topology.on_exchange_bind,
    ExchangeDeclare: topology.on_exchange_declare,
    ExchangeDelete: topology.on_exchange_delete,
    ExchangeUnbind: topology.on_exchange_unbind,
    QueueBind: topology.on_queue_bind,
    QueueDeclare: topology.on_queue_declare,
    QueueDelete: topology.on_queue_delete,
    QueuePurge: topology.on_queue_purge,
    QueueUnbind: topology.on_queue_unbind,
    TxCommit: tx.on_tx_commit,
    TxRollback: tx.on_tx_rollback,
    TxSelect: tx.on_tx_select,
}
