"""Which of several things that are wrong with one method is told first (rules 3.2, 3.19 and 4.19).

Each list begins with a method in which everything is wrong, and mends one thing after the other.
"""

import pytest

from amqp_broker.auth.permissions import Permissions
from amqp_broker.auth.users import User
from amqp_codec import (
    ExchangeBind,
    ExchangeDeclare,
    ExchangeUnbind,
    Method,
    QueueBind,
    QueueDelete,
    QueueUnbind,
    Table,
)
from tests.support.client import ChannelClient, Client, World
from tests.support.topology import delete_queue, exchange, refused

NOT_ON_DEFAULT = "ACCESS_REFUSED - operation not permitted on the default exchange"
VOLATILE = "ACCESS_REFUSED - cannot bind or unbind to a volatile (direct reply-to) queue"


class Restricted(Client):
    """A client whose user has hardly any rights."""

    def login(self, **_: object) -> None:
        super().login(response=b"\0bob\0pw")


def restricted(world: World, **patterns: str) -> ChannelClient:
    """Open a channel for a user with these rights only: `configure`, `write` and `read`."""
    rights = Permissions(*(patterns.get(access, "") for access in ("configure", "write", "read")))
    world.broker.users.add(User(name="bob", password=b"pw", permissions={"/": rights}))
    client = Restricted(world)
    client.open()
    return client.channel()


def no_right(access: str, kind: str, name: str) -> str:
    return f"ACCESS_REFUSED - {access} access to {kind} '{name}' in vhost '/' refused for user 'bob'"


@pytest.mark.rule("3.2")
def test_order_for_a_new_exchange(world: World, channel: ChannelClient) -> None:
    exchange(channel, "alternate")
    bad: Table = {"alternate-exchange": 1}
    good: Table = {"alternate-exchange": b"alternate"}
    asking = restricted(world)
    unknown = "PRECONDITION_FAILED - unknown exchange type 'nope'"
    refused(asking, ExchangeDeclare(exchange="", type="nope", arguments=bad), 406, unknown)
    refused(asking, ExchangeDeclare(exchange="amq.new", type="nope", arguments=bad), 406, unknown)
    refused(asking, ExchangeDeclare(exchange="", type="direct", arguments=bad), 403, NOT_ON_DEFAULT)
    text = no_right("configure", "exchange", "amq.new")
    refused(asking, ExchangeDeclare(exchange="amq.new", type="direct", arguments=bad), 403, text)
    asking = restricted(world, configure="new$")
    text = "ACCESS_REFUSED - exchange name 'amq.new' contains reserved prefix 'amq.*'"
    refused(asking, ExchangeDeclare(exchange="amq.new", type="direct", arguments=bad), 403, text)
    text = "PRECONDITION_FAILED - invalid type 'signedint' for arg 'alternate-exchange' in exchange 'new' in vhost '/'"
    refused(asking, ExchangeDeclare(exchange="new", type="direct", arguments=bad), 406, text)
    text = no_right("read", "exchange", "new")
    refused(asking, ExchangeDeclare(exchange="new", type="direct", arguments=good), 403, text)
    asking = restricted(world, configure="new$", read="new$")
    text = no_right("write", "exchange", "alternate")
    refused(asking, ExchangeDeclare(exchange="new", type="direct", arguments=good), 403, text)
    exchange(restricted(world, configure="new$", read="new$", write="alternate"), "new", arguments=good)


@pytest.mark.rule("3.2")
def test_order_for_an_existing_exchange(world: World, channel: ChannelClient) -> None:
    exchange(channel, "x")
    bad: Table = {"alternate-exchange": 1}
    method = ExchangeDeclare(exchange="x", type="nope", durable=True, arguments=bad)
    asking = restricted(world)
    refused(asking, method, 406, "PRECONDITION_FAILED - unknown exchange type 'nope'")
    method.type = "fanout"
    refused(asking, method, 403, no_right("configure", "exchange", "x"))
    asking = restricted(world, configure="x")
    where = "PRECONDITION_FAILED - inequivalent arg '{}' for exchange 'x' in vhost '/': received {} but current is {}"
    refused(asking, method, 406, where.format("type", "'fanout'", "'direct'"))
    method.type = "direct"
    refused(asking, method, 406, where.format("durable", "'true'", "'false'"))
    method.durable = False
    text = where.format("alternate-exchange", "the value '1' of type 'signedint'", "none")
    refused(asking, method, 406, text)


@pytest.mark.rule("3.19")
@pytest.mark.parametrize("make", [QueueBind, QueueUnbind])
def test_order_for_bindings_of_queues(
    world: World, channel: ChannelClient, make: type[QueueBind] | type[QueueUnbind]
) -> None:
    asking = restricted(world)
    for pseudo in ("amq.rabbitmq.reply-to", "amq.rabbitmq.reply-to.xyz"):
        refused(asking, make(queue=pseudo, exchange=""), 403, VOLATILE)
    refused(asking, make(queue="missing", exchange=""), 403, no_right("write", "queue", "missing"))
    asking = restricted(world, write="missing")
    refused(asking, make(queue="missing", exchange=""), 403, NOT_ON_DEFAULT)
    refused(asking, make(queue="missing", exchange="gone"), 403, no_right("read", "exchange", "gone"))
    if make is QueueBind:
        asking = restricted(world, write="missing", read="gone")
        text = "NOT_FOUND - no exchange 'gone' in vhost '/'"
        refused(asking, make(queue="missing", exchange="gone"), 404, text)


@pytest.mark.rule("3.19")
@pytest.mark.parametrize("make", [ExchangeBind, ExchangeUnbind])
def test_order_for_bindings_of_exchanges(world: World, make: type[ExchangeBind] | type[ExchangeUnbind]) -> None:
    asking = restricted(world)
    refused(asking, make(destination="d", source=""), 403, no_right("write", "exchange", "d"))
    asking = restricted(world, write="d")
    refused(asking, make(destination="d", source=""), 403, NOT_ON_DEFAULT)
    refused(asking, make(destination="d", source="s"), 403, no_right("read", "exchange", "s"))
    if make is ExchangeBind:
        asking = restricted(world, write="d", read="s")
        refused(asking, make(destination="d", source="s"), 404, "NOT_FOUND - no exchange 's' in vhost '/'")


@pytest.mark.rule("4.19")
def test_order_for_the_delete_of_a_queue(world: World, channel: ChannelClient) -> None:
    channel.queue("q", exclusive=True)
    channel.publish("q", b"1")
    method = QueueDelete(queue="q", if_empty=True, if_unused=True)
    for name in ("q", "missing"):
        wanted: Method = QueueDelete(queue=name, if_empty=True, if_unused=True)
        refused(restricted(world), wanted, 403, no_right("configure", "queue", name))
    asking = restricted(world, configure="q|missing")
    assert delete_queue(asking, "missing", if_empty=True, if_unused=True) == 0
    locked = (
        "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'q' in vhost '/'. It could be originally "
        "declared on another connection or the exclusive property value does not match that of the original "
        "declaration."
    )
    refused(asking, method, 405, locked)
