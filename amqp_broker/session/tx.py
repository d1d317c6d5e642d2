"""Transactions of one channel: what waits for commit, and the methods of class tx (rules 6.10 to 6.21)."""

from __future__ import annotations

from amqp_broker.errors import precondition_failed
from amqp_broker.message import Message
from amqp_broker.queues.unacked import Unacked
from amqp_broker.routing.duplicates import remember
from amqp_broker.session.channel import Channel
from amqp_broker.session.settle import Outcome, Taken, settle
from amqp_broker.vhost import Route
from amqp_codec import (
    TxCommit,
    TxCommitOk,
    TxRollback,
    TxRollbackOk,
    TxSelect,
    TxSelectOk,
)


class Transaction:
    """What a transactional channel has published and settled since the last commit."""

    def __init__(self, unacked: Unacked) -> None:
        self.publishes: list[tuple[Message, Route, bool]] = []
        """Message, how it was routed when it came (rule 6.12), and whether it is mandatory."""
        self.settlements: list[tuple[Outcome, Taken]] = []
        self._unacked = unacked

    def published(self, message: Message, route: Route, mandatory: bool) -> None:
        """A message waits for commit."""
        self.publishes.append((message, route, mandatory))

    def rollback(self) -> None:
        """Forget everything; the settled deliveries are unacked again under their tags (rule 6.15)."""
        self.publishes.clear()
        for _, taken in self.settlements:
            self._unacked.restore(taken)
        self.settlements.clear()


def on_tx_select(channel: Channel, _method: TxSelect) -> None:
    if channel.confirms is not None:
        raise precondition_failed("cannot switch from confirm to tx mode")
    if channel.transaction is None:
        channel.transaction = Transaction(channel.unacked)
    channel.send(TxSelectOk())


def on_tx_commit(channel: Channel, _method: TxCommit) -> None:
    """Publishes first, in order, then the settlements in order, then `commit-ok` (rule 6.17)."""
    transaction = _transaction_of(channel)
    publishes, transaction.publishes = transaction.publishes, []
    settlements, transaction.settlements = transaction.settlements, []
    accepted = True
    for message, route, mandatory in publishes:
        accepted = _publish(channel, message, route, mandatory) and accepted
    for outcome, taken in settlements:
        settle(channel.unacked, outcome, taken)
    if not accepted:
        raise precondition_failed("partial tx completion")
    channel.send_when_durable(TxCommitOk())


def _publish(channel: Channel, message: Message, route: Route, mandatory: bool) -> bool:
    """Publish what has waited for commit; gives whether it was taken."""
    vhost, properties = channel.vhost, message.header.properties
    if any(duplicates.remembers(key) for duplicates, key in route.admitted):  # it is one of another by now
        route = vhost.route(route.exchange, message.routing_keys, properties)
    there = [queue for queue in route.queues if not queue.is_deleted]
    if mandatory and not (route.is_routed and there):  # to be recorded only is to be returned
        channel.connection.send_return(channel, message)
        there = []
    accepted = vhost.publish(message, there)
    if accepted and there:
        remember(route.admitted, properties)
    return accepted


def on_tx_rollback(channel: Channel, _method: TxRollback) -> None:
    _transaction_of(channel).rollback()
    channel.send(TxRollbackOk())


def _transaction_of(channel: Channel) -> Transaction:
    if channel.transaction is None:
        raise precondition_failed("channel is not transactional")
    return channel.transaction
