"""Every method of the protocol with configure, write, read or all of them missing: pika over a socket (rule 8.11)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from typing import Any, Final

import attrs
import pika
import pytest
from pika import spec
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import ChannelClosedByBroker, ProbableAccessDeniedError

from amqp_broker.administration import permissions, users
from amqp_broker.administration.exporting import export_definitions
from amqp_broker.embedding import EmbeddedBroker, run_in_thread
from amqp_codec import METHODS

RIGHTS: Final = ("configure", "write", "read")

Do = Callable[[BlockingChannel], object]


@attrs.frozen
class Operation:
    """Something a client does.

    Attributes:
        method: what it sends, by the name of its class in `amqp_codec`.
        do: sends it, with what has to come before.
        needs: the rights it takes, in the order in which they are looked at.
        needs_any: one right is enough, whichever.
    """

    method: str
    do: Do
    needs: tuple[tuple[str, str], ...] = ()
    needs_any: str = ""

    def refusal(self, granted: frozenset[str]) -> str | None:
        """The right and the thing that a refusal names; None when it is allowed."""
        if self.needs_any:
            return None if granted else f"configure access to {self.needs_any}"
        return next((f"{right} access to {thing}" for right, thing in self.needs if right not in granted), None)


def send(method: spec.amqp_object.Method) -> Do:
    """Send what pika has no function for."""
    return lambda channel: channel._impl._send_method(method)


def tag_of(channel: BlockingChannel) -> int:
    """Get a message without acknowledging it."""
    method, _, _ = channel.basic_get("full")
    assert method is not None
    return int(method.delivery_tag)


def consume(channel: BlockingChannel) -> str:
    return str(channel.basic_consume("empty", lambda *_: None))


def transaction(end: Callable[[BlockingChannel], object]) -> Do:
    def do(channel: BlockingChannel) -> None:
        channel.tx_select()
        end(channel)

    return do


DLX: Final = {"x-dead-letter-exchange": "x"}

OPERATIONS: Final = (
    Operation("ExchangeDeclare", lambda c: c.exchange_declare("new"), (("configure", "exchange 'new'"),)),
    Operation("ExchangeDeclare", lambda c: c.exchange_declare("x"), (("configure", "exchange 'x'"),)),
    Operation("ExchangeDeclare", lambda c: c.exchange_declare("x", passive=True), needs_any="exchange 'x'"),
    Operation(
        "ExchangeDeclare",
        lambda c: c.exchange_declare("new", arguments={"alternate-exchange": "x"}),
        (("configure", "exchange 'new'"), ("read", "exchange 'new'"), ("write", "exchange 'x'")),
    ),
    Operation("ExchangeDelete", lambda c: c.exchange_delete("x"), (("configure", "exchange 'x'"),)),
    Operation(
        "ExchangeBind", lambda c: c.exchange_bind("x", "y"), (("write", "exchange 'x'"), ("read", "exchange 'y'"))
    ),
    Operation(
        "ExchangeUnbind", lambda c: c.exchange_unbind("x", "y"), (("write", "exchange 'x'"), ("read", "exchange 'y'"))
    ),
    Operation("QueueDeclare", lambda c: c.queue_declare("new"), (("configure", "queue 'new'"),)),
    Operation("QueueDeclare", lambda c: c.queue_declare("new", exclusive=True), (("configure", "queue 'new'"),)),
    Operation("QueueDeclare", lambda c: c.queue_declare("full"), (("configure", "queue 'full'"),)),
    Operation("QueueDeclare", lambda c: c.queue_declare("full", passive=True), needs_any="queue 'full'"),
    Operation("QueueDeclare", lambda c: c.queue_declare(""), (("configure", "queue 'amq.gen-"),)),
    Operation(
        "QueueDeclare",
        lambda c: c.queue_declare("new", arguments=DLX),
        (("configure", "queue 'new'"), ("read", "queue 'new'"), ("write", "exchange 'x'")),
    ),
    Operation(
        "QueueBind", lambda c: c.queue_bind("empty", "x", "k"), (("write", "queue 'empty'"), ("read", "exchange 'x'"))
    ),
    Operation(
        "QueueUnbind", lambda c: c.queue_unbind("full", "x", "k"), (("write", "queue 'full'"), ("read", "exchange 'x'"))
    ),
    Operation("QueuePurge", lambda c: c.queue_purge("full"), (("read", "queue 'full'"),)),
    Operation("QueueDelete", lambda c: c.queue_delete("full"), (("configure", "queue 'full'"),)),
    Operation("BasicPublish", lambda c: c.basic_publish("x", "k", b"new"), (("write", "exchange 'x'"),)),
    Operation("BasicPublish", lambda c: c.basic_publish("", "full", b"new"), (("write", "exchange 'amq.default'"),)),
    Operation("BasicGet", lambda c: c.basic_get("full"), (("read", "queue 'full'"),)),
    Operation("BasicConsume", lambda c: c.basic_consume("full", lambda *_: None), (("read", "queue 'full'"),)),
    Operation("BasicCancel", lambda c: c.basic_cancel(consume(c)), (("read", "queue 'empty'"),)),
    Operation("BasicAck", lambda c: c.basic_ack(tag_of(c)), (("read", "queue 'full'"),)),
    Operation("BasicNack", lambda c: c.basic_nack(tag_of(c)), (("read", "queue 'full'"),)),
    Operation("BasicReject", lambda c: c.basic_reject(tag_of(c), requeue=False), (("read", "queue 'full'"),)),
    Operation("BasicRecover", lambda c: (tag_of(c), c.basic_recover(requeue=True)), (("read", "queue 'full'"),)),
    Operation("BasicRecoverAsync", send(spec.Basic.RecoverAsync(requeue=True))),
    Operation("BasicConsume", lambda c: c.basic_consume("amq.rabbitmq.reply-to", lambda *_: None, auto_ack=True)),
    Operation("BasicQos", lambda c: c.basic_qos(prefetch_count=1)),
    Operation("ConfirmSelect", lambda c: c.confirm_delivery()),
    Operation("TxSelect", lambda c: c.tx_select()),
    Operation("TxCommit", transaction(lambda c: c.tx_commit())),
    Operation("TxRollback", transaction(lambda c: c.tx_rollback())),
    Operation("AccessRequest", send(spec.Access.Request())),
    Operation("ChannelOpen", lambda c: c.connection.channel()),
    Operation("ChannelFlow", lambda c: c.flow(True)),
    Operation("ChannelClose", lambda c: c.connection.channel().close()),
    Operation("ConnectionUpdateSecret", lambda c: c.connection.update_secret("secret", "why not")),
)

LOGIN: Final = {"ConnectionStartOk", "ConnectionSecureOk", "ConnectionTuneOk", "ConnectionOpen", "ConnectionClose"}
"""What every test here sends before or after."""

ANSWERS: Final = {"ConnectionCloseOk", "ChannelCloseOk", "ChannelFlowOk"}
"""What a client sends because it was told to."""

NOT_FROM_CLIENTS: Final = {
    "ConnectionStart", "ConnectionSecure", "ConnectionTune", "ConnectionOpenOk", "ConnectionBlocked",
    "ConnectionUnblocked", "ConnectionUpdateSecretOk", "ChannelOpenOk", "AccessRequestOk", "ExchangeDeclareOk",
    "ExchangeDeleteOk", "ExchangeBindOk", "ExchangeUnbindOk", "QueueDeclareOk", "QueueBindOk", "QueuePurgeOk",
    "QueueDeleteOk", "QueueUnbindOk", "BasicQosOk", "BasicConsumeOk", "BasicCancelOk", "BasicReturn", "BasicDeliver",
    "BasicGetOk", "BasicGetEmpty", "BasicRecoverOk", "ConfirmSelectOk", "TxSelectOk", "TxCommitOk", "TxRollbackOk",
}  # fmt: skip

_NUMBERS = count()


@pytest.fixture(scope="module")
def broker() -> Iterator[EmbeddedBroker]:
    with run_in_thread(management_port=None) as started:
        yield started


@pytest.fixture
def vhost(broker: EmbeddedBroker) -> Iterator[EmbeddedBroker]:
    """A vhost with something to do everything to, and the user bob, who may do nothing in it yet."""
    with broker.fresh_vhost(f"v{next(_NUMBERS)}") as there:
        connection = pika.BlockingConnection(pika.URLParameters(there.url))
        channel = connection.channel()
        channel.exchange_declare("x")
        channel.exchange_declare("y")
        channel.exchange_bind("x", "y")
        channel.queue_declare("full")
        channel.queue_declare("empty")
        channel.queue_bind("full", "x", "k")
        connection.close()
        there.publish("stays", "full")
        there._call(lambda: users.put_user(there._loop.server.broker, "bob", "pw", ()))
        yield there


def connected(vhost: EmbeddedBroker, granted: frozenset[str]) -> pika.BlockingConnection:
    patterns = (".*" if right in granted else "" for right in RIGHTS)
    vhost._call(lambda: permissions.set_permissions(vhost._loop.server.broker, "bob", vhost.vhost, *patterns))
    parameters = pika.URLParameters(vhost.url)
    parameters.credentials = pika.PlainCredentials("bob", "pw")
    return pika.BlockingConnection(parameters)


def state(vhost: EmbeddedBroker) -> dict[str, Any]:
    """All there is in a vhost, and how many messages."""
    definitions = vhost._call(lambda: export_definitions(vhost._loop.server.broker, vhost.vhost))
    return {**definitions, "counts": [(each.name, each.ready, each.unacked, each.consumers) for each in vhost.queues]}


def attempt(connection: pika.BlockingConnection, operation: Operation) -> str | None:
    """Do it, and have an answer that comes after its own; gives what it was refused with."""
    channel = connection.channel()
    try:
        operation.do(channel)
        channel.basic_qos(prefetch_count=10)
    except ChannelClosedByBroker as error:
        return f"{error.reply_code} {error.reply_text}"
    return None


@pytest.mark.rule("8.11")
@pytest.mark.parametrize("missing", [*RIGHTS, "all"])
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.method)
def test_a_method_with_a_right_missing(vhost: EmbeddedBroker, operation: Operation, missing: str) -> None:
    granted = frozenset() if missing == "all" else frozenset(RIGHTS) - {missing}
    expected = operation.refusal(granted)
    connection = connected(vhost, granted)
    before = state(vhost)
    refused_with = attempt(connection, operation)
    if expected is None:
        assert refused_with is None
    else:
        assert refused_with is not None
        assert refused_with.startswith(f"403 ACCESS_REFUSED - {expected}")
        assert refused_with.endswith(f"in vhost '{vhost.vhost}' refused for user 'bob'")
        assert state(vhost) == before
    assert connection.is_open  # only the channel is closed
    connection.close()


@pytest.mark.rule("8.10", "1.30")
def test_without_a_record_a_vhost_is_not_opened(vhost: EmbeddedBroker) -> None:
    broker = vhost._loop.server.broker
    connected(vhost, frozenset()).close()
    vhost._call(lambda: permissions.clear_permissions(broker, "bob", vhost.vhost))
    parameters = pika.URLParameters(vhost.url)
    parameters.credentials = pika.PlainCredentials("bob", "pw")
    with pytest.raises(ProbableAccessDeniedError, match=r"\(530\) .* refused for user 'bob'"):
        pika.BlockingConnection(parameters)


def test_no_method_is_left_out() -> None:
    tried = {operation.method for operation in OPERATIONS}
    assert tried | LOGIN | ANSWERS | NOT_FROM_CLIENTS == {method.__name__ for method in METHODS.values()}
