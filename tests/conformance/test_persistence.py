"""What a restart leaves (chapter 7): the broker on a simulated disk, stopped in peace or by a power cut."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from amqp_broker.config import Config
from amqp_broker.queues.ready import ENTRY_OCTETS, LOAN_OCTETS
from amqp_broker.timers import SLICE
from amqp_codec import (
    BasicAck,
    BasicNack,
    BasicReject,
    BasicReturn,
    ConnectionClose,
    ConnectionCloseOk,
    ExchangeBind,
    ExchangeBindOk,
    ExchangeDeclare,
    ExchangeDeclareOk,
    ExchangeDelete,
    ExchangeDeleteOk,
    ExchangeUnbind,
    ExchangeUnbindOk,
    Int64,
    Method,
    Properties,
    QueueBind,
    QueueBindOk,
    QueueDeclare,
    QueueDeclareOk,
    QueueDelete,
    QueueDeleteOk,
    QueueUnbind,
    QueueUnbindOk,
    Table,
    TxCommit,
    TxCommitOk,
)
from tests.simulation.machine import Machine
from tests.support.client import ChannelClient, Delivery
from tests.support.delivery import ack, cancel, commit, confirm_select, qos, tx_select
from tests.support.topology import (
    bind,
    bind_exchange,
    delete_exchange,
    delete_queue,
    exchange,
    expect_ack,
    got,
    has_exchange,
    has_queue,
    purge,
    quorum_queue,
    reaches,
    refused,
    reject,
)

Restart = Callable[[Machine], Machine]

after_any_end = pytest.mark.parametrize(
    "restart", [Machine.restarted, Machine.crashed], ids=["clean stop", "power cut"]
)

PERSISTENT = Properties(delivery_mode=2)
TRANSIENT = Properties(delivery_mode=1)
SMALL_WINDOW = Config(queue_window_octets=4_000)
TO_DEAD: Table = {"x-dead-letter-exchange": b"", "x-dead-letter-routing-key": b"dead"}


def keep(channel: ChannelClient, routing_key: str, *bodies: bytes) -> None:
    """Publish persistent messages."""
    for body in bodies:
        channel.publish(routing_key, body, properties=PERSISTENT)


def all_of(channel: ChannelClient, queue: str) -> list[Delivery]:
    """Get everything that is ready, without acking it."""
    deliveries = []
    while (delivery := channel.get(queue, no_ack=False)) is not None:
        deliveries.append(delivery)
    return deliveries


# Topology


@after_any_end
def test_durable_topology_is_there_again(restart: Restart) -> None:
    machine = Machine()
    channel = machine.channel()
    exchange(channel, "source", "topic", durable=True, auto_delete=True, internal=True, arguments={"x": b"y"})
    exchange(channel, "middle", "direct", durable=True, arguments={"alternate-exchange": b"rest"})
    exchange(channel, "rest", "fanout", durable=True)
    channel.queue("q", durable=True, arguments={"x-max-length": 3, "x-odd": [1, b"two", {"three": True}]})
    channel.queue("unrouted", durable=True)
    quorum_queue(channel, "quorum")
    bind(channel, "q", "middle", "k")
    bind(channel, "q", "amq.headers", "", {"x-match": b"any", "h": 1})
    bind(channel, "unrouted", "rest")
    bind_exchange(channel, "middle", "source", "a.*")
    channel = restart(machine).channel()
    same = {"durable": True, "auto_delete": True, "internal": True, "arguments": {"x": b"y"}}
    exchange(channel, "source", "topic", **same)
    text = "inequivalent arg 'type' for exchange 'source' in vhost '/': received 'fanout' but current is 'topic'"
    refused(
        channel, ExchangeDeclare(exchange="source", type="fanout", durable=True), 406, f"PRECONDITION_FAILED - {text}"
    )
    channel.queue("q", durable=True, arguments={"x-max-length": 3})
    text = "inequivalent arg 'x-max-length' for queue 'q' in vhost '/': received none but current is the value '3'"
    refused(channel, QueueDeclare(queue="q", durable=True), 406, f"PRECONDITION_FAILED - {text} of type 'signedint'")
    queues = ("q", "unrouted")
    assert reaches(channel, "middle", "k", queues) == {"q"}
    assert reaches(channel, "middle", "other", queues) == {"unrouted"}
    channel.publish("", b"h", exchange="amq.headers", properties=Properties(headers={"h": 1}))
    assert channel.drain("q") == [b"h"]
    vhost = channel.world.broker.vhosts["/"]
    binding = vhost.exchanges["source"].find_binding(vhost.exchanges["middle"], "a.*", {})
    assert binding is not None
    assert vhost.queues["q"].arguments == {"x-max-length": 3, "x-odd": [1, b"two", {"three": True}]}
    keep(channel, "quorum", b"1")
    assert channel.drain("quorum") == [b"1"]


@after_any_end
def test_what_was_deleted_stays_deleted(restart: Restart) -> None:
    machine = Machine()
    channel = machine.channel()
    exchange(channel, "gone", durable=True)
    exchange(channel, "stays", "fanout", durable=True)
    for queue in ("gone", "stays", "unbound"):
        channel.queue(queue, durable=True)
        bind(channel, queue, "stays")
        bind(channel, queue, "gone")
    keep(channel, "gone", b"1")
    delete_exchange(channel, "gone")
    delete_queue(channel, "gone")
    channel.call(QueueUnbind(queue="unbound", exchange="stays"), QueueUnbindOk)
    channel = restart(machine).channel()
    assert not has_exchange(channel, "gone")
    assert not has_queue(channel, "gone")
    channel.queue("gone", durable=True)
    exchange(channel, "gone", durable=True)
    queues = ("gone", "stays", "unbound")
    assert reaches(channel, "stays", "", queues) == {"stays"}
    assert reaches(channel, "gone", "", queues) == set()


@pytest.mark.rule("7.3")
@after_any_end
def test_transient_and_exclusive_things_are_gone(restart: Restart) -> None:
    machine = Machine()
    channel = machine.channel()
    exchange(channel, "transient")
    exchange(channel, "durable", "fanout", durable=True)
    channel.queue("q", durable=True)
    channel.queue("transient")
    channel.queue("exclusive", durable=True, exclusive=True)
    bind(channel, "q", "transient")
    for queue in ("q", "transient", "exclusive"):
        bind(channel, queue, "durable")
    bind_exchange(channel, "transient", "durable")
    keep(channel, "transient", b"1")
    keep(channel, "exclusive", b"2")
    channel = restart(machine).channel()
    assert not has_exchange(channel, "transient")
    assert not has_queue(channel, "transient")
    assert not has_queue(channel, "exclusive")
    exchange(channel, "transient")
    channel.queue("transient")
    channel.queue("exclusive", durable=True)
    queues = ("q", "transient", "exclusive")
    assert reaches(channel, "durable", "", queues) == {"q"}
    assert reaches(channel, "transient", "", queues) == set()


@pytest.mark.rule("7.5")
@pytest.mark.parametrize(
    ("method", "answer"),
    [
        (ExchangeDeclare(exchange="new", type="fanout", durable=True), ExchangeDeclareOk),
        (ExchangeDelete(exchange="source"), ExchangeDeleteOk),
        (ExchangeBind(source="source", destination="bound", routing_key="new"), ExchangeBindOk),
        (ExchangeUnbind(source="source", destination="bound", routing_key="old"), ExchangeUnbindOk),
        (QueueDeclare(queue="new", durable=True), QueueDeclareOk),
        (QueueDelete(queue="q"), QueueDeleteOk),
        (QueueBind(queue="q", exchange="source", routing_key="new"), QueueBindOk),
        (QueueUnbind(queue="q", exchange="source", routing_key="old"), QueueUnbindOk),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Method) else "",
)
def test_answer_means_that_the_change_is_on_disk(method: Method, answer: type[Method]) -> None:
    machine = Machine()
    channel = machine.channel()
    exchange(channel, "source", durable=True)
    exchange(channel, "bound", durable=True)
    channel.queue("q", durable=True)
    bind(channel, "q", "source", "old")
    bind_exchange(channel, "bound", "source", "old")
    before = set(map(repr, machine.broker.definitions()))
    machine.is_eager = False
    channel.send(method)
    channel.expect_nothing()
    after = set(map(repr, machine.broker.definitions()))
    assert before != after
    assert set(map(repr, machine.crashed().broker.definitions())) == before
    machine.writer.run()
    channel.expect(answer)
    assert set(map(repr, machine.crashed().broker.definitions())) == after


@pytest.mark.rule("7.5")
def test_answer_to_a_second_declare_waits_for_the_first() -> None:
    machine = Machine(is_eager=False)
    first, second = machine.channel(), machine.channel()
    for channel in (first, second):
        channel.send(QueueDeclare(queue="q", durable=True))
        channel.expect_nothing()
    machine.writer.run()
    first.expect(QueueDeclareOk)
    second.expect(QueueDeclareOk)


@pytest.mark.rule("7.5", "1.38")
def test_what_was_sent_before_a_close_is_done_before_it() -> None:
    machine = Machine(is_eager=False)
    channel = machine.channel()
    channel.send(QueueDeclare(queue="q", durable=True))
    keep(channel, "q", b"1")
    channel.send(QueueDeclare(queue="p", durable=True))
    keep(channel, "p", b"2")
    channel.client.send(0, ConnectionClose(reply_code=200))
    channel.expect_nothing()
    machine.writer.run()
    channel.expect(QueueDeclareOk)
    channel.expect(QueueDeclareOk)
    channel.client.expect(0, ConnectionCloseOk)
    machine.writer.run()
    channel = machine.crashed().channel()
    assert channel.drain("q") == [b"1"]
    assert channel.drain("p") == [b"2"]


@pytest.mark.rule("7.5")
def test_client_that_is_lost_while_it_closes_leaves_nothing_behind() -> None:
    machine = Machine(is_eager=False)
    channel = machine.channel()
    channel.send(QueueDeclare(queue="q", durable=True))
    channel.client.send(0, ConnectionClose(reply_code=200))
    channel.client.drop()
    machine.writer.run()
    assert not machine.broker.clients
    assert machine.channel().counts("q") == (0, 0)


@pytest.mark.rule("7.12")
@after_any_end
def test_auto_delete_queue_waits_for_a_consumer_of_this_start(restart: Restart) -> None:
    machine = Machine()
    channel = machine.channel()
    channel.queue("q", durable=True, auto_delete=True)
    channel.consume("q")
    keep(machine.channel(), "q", b"1")
    machine = machine.crashed()  # a clean stop would end the consumer, and with it the queue
    for _ in range(2):
        machine = restart(machine)
        channel = machine.channel()
        assert has_queue(channel, "q")
    channel.consume("q")
    channel.expect_bodies(b"1")
    cancel(channel, "c")
    assert not has_queue(channel, "q")
    assert not has_queue(restart(machine).channel(), "q")


@pytest.mark.rule("7.13")
@after_any_end
def test_default_binding_is_there_with_the_queue(restart: Restart) -> None:
    machine = Machine()
    machine.channel().queue("q", durable=True)
    channel = restart(machine).channel()
    channel.publish("q", b"1", mandatory=True)
    channel.expect_nothing()
    assert channel.drain("q") == [b"1"]


@pytest.mark.rule("7.14")
def test_guest_is_made_only_where_nothing_is_stored() -> None:
    machine = Machine()
    assert machine.broker.users.get("guest") is not None
    machine.channel().queue("q", durable=True)
    machine.broker.registry.remove_user("guest")
    assert machine.restarted().broker.users.get("guest") is None


# Messages


@pytest.mark.rule("7.2", "7.3")
@after_any_end
@pytest.mark.parametrize("config", [Config(), SMALL_WINDOW], ids=["in memory", "paged out"])
def test_persistent_messages_stay_and_transient_ones_go(restart: Restart, config: Config) -> None:
    machine = Machine(config=config)
    channel = machine.channel()
    channel.queue("classic", durable=True)
    channel.queue("transient")
    quorum_queue(channel, "quorum")
    for queue in ("classic", "transient", "quorum"):
        bind(channel, queue, "amq.fanout")
    modes = [2, 1, None, 3] * 8
    for number, mode in enumerate(modes):
        channel.publish("", b"%d" % number, exchange="amq.fanout", properties=Properties(delivery_mode=mode))
    channel = restart(machine).channel()
    assert channel.drain("classic") == [b"%d" % number for number, mode in enumerate(modes) if mode == 2]
    assert channel.drain("quorum") == [b"%d" % number for number in range(len(modes))]
    assert not has_queue(channel, "transient")


@pytest.mark.parametrize("expires", [None, "60000"], ids=["for ever", "with a TTL"])
def test_transient_messages_are_written_only_when_there_is_no_memory_to_borrow(expires: str | None) -> None:
    machine = Machine(config=SMALL_WINDOW)
    spare = machine.broker.storage.spare
    spare.limit_octets = LOAN_OCTETS
    channel = machine.channel()
    channel.queue("q", durable=True)
    properties = Properties(delivery_mode=1, expiration=expires)
    bodies = [b"%d" % number for number in range(LOAN_OCTETS // ENTRY_OCTETS - 100)]
    for body in bodies:
        channel.publish("q", body, properties=properties)
    assert machine.storage.journal.live_octets == 0
    assert spare.lent_octets == LOAN_OCTETS
    further = [b"further %d" % number for number in range(1000)]
    for body in further:
        channel.publish("q", body, properties=properties)
    assert machine.storage.journal.live_octets > 0
    assert spare.lent_octets == LOAN_OCTETS
    assert channel.drain("q") == bodies + further
    assert spare.lent_octets == 0


@pytest.mark.rule("7.4")
def test_confirm_means_that_the_message_is_on_disk() -> None:
    machine = Machine()
    channel = confirm_select(machine.channel())
    channel.queue("q", durable=True)
    machine.is_eager = False
    keep(channel, "q", b"1")
    for stage in ("taken", "written", "reported"):
        channel.expect_nothing()
        assert machine.writer.step(), stage
    expect_ack(channel, 1)
    keep(channel, "q", b"2")
    channel.expect_nothing()
    assert machine.crashed().channel().drain("q") == [b"1"]


@pytest.mark.rule("7.4")
def test_commit_ok_means_that_all_of_it_is_on_disk() -> None:
    machine = Machine()
    channel = tx_select(machine.channel())
    for queue in ("p", "q"):
        channel.queue(queue, durable=True)
    keep(channel, "p", b"1", b"2")
    keep(channel, "q", b"3")
    machine.is_eager = False
    channel.send(TxCommit())
    channel.expect_nothing()
    assert machine.crashed().channel().drain("p") == []
    machine.writer.run()
    channel.expect(TxCommitOk)
    keep(channel, "q", b"uncommitted")
    channel = machine.crashed().channel()
    assert channel.drain("p") == [b"1", b"2"]
    assert channel.drain("q") == [b"3"]


@pytest.mark.rule("7.4")
def test_message_of_several_queues_survives_in_all_of_them() -> None:
    machine = Machine(config=SMALL_WINDOW)
    channel = confirm_select(machine.channel())
    queues = ("p", "q", "r")
    for queue in queues:
        channel.queue(queue, durable=True)
        bind(channel, queue, "amq.fanout")
    bodies = [b"%d" % number for number in range(40)]
    for body in bodies:
        channel.publish("", body, exchange="amq.fanout", properties=PERSISTENT)
        channel.expect(BasicAck)
    channel = machine.crashed().channel()
    assert [channel.drain(queue) for queue in queues] == [bodies] * 3


@pytest.mark.rule("7.6")
@pytest.mark.parametrize("config", [Config(), SMALL_WINDOW], ids=["in memory", "paged out"])
def test_what_was_acked_does_not_come_back_after_a_clean_stop(config: Config) -> None:
    machine = Machine(config=config)
    channel = machine.channel()
    for queue in ("q", "purged", "twin"):
        channel.queue(queue, durable=True)
        bind(channel, queue, "amq.fanout")
    bodies = [b"%d" % number for number in range(30)]
    for body in bodies:
        channel.publish("", body, exchange="amq.fanout", properties=PERSISTENT)
    for _ in range(10):
        ack(channel, got(channel, "q").tag)
    channel.get("q")
    reject(channel, got(channel, "q"))
    got(channel, "q")
    assert purge(channel, "purged") == 30
    machine = machine.restarted()
    channel = machine.channel()
    assert channel.drain("q") == bodies[12:]
    assert channel.drain("purged") == []
    assert channel.drain("twin") == bodies
    channel = machine.restarted().channel()
    assert [channel.drain(queue) for queue in ("q", "purged", "twin")] == [[], [], []]


@pytest.mark.rule("7.6")
def test_what_comes_back_after_a_crash_although_it_was_acked_says_so() -> None:
    machine = Machine()
    channel = machine.channel()
    channel.queue("q", durable=True)
    keep(channel, "q", b"1")
    machine.is_eager = False
    ack(channel, got(channel, "q").tag)
    assert [delivery.redelivered for delivery in all_of(machine.crashed().channel(), "q")] == [True]


@pytest.mark.rule("7.7")
@after_any_end
@pytest.mark.parametrize("config", [Config(), SMALL_WINDOW], ids=["in memory", "paged out"])
def test_order_and_priorities_survive(restart: Restart, config: Config) -> None:
    machine = Machine(config=config)
    channel = machine.channel()
    channel.queue("q", durable=True)
    channel.queue("levels", durable=True, arguments={"x-max-priority": 5})
    numbers = range(60)
    for number in numbers:
        properties = Properties(delivery_mode=2, priority=number % 7)
        for queue in ("q", "levels"):
            channel.publish(queue, b"%d" % number, properties=properties)
    taken = [got(channel, "levels") for _ in range(20)]
    channel.send(BasicNack(delivery_tag=taken[-1].tag, multiple=True, requeue=True))
    machine = restart(machine)
    channel = machine.channel()
    assert channel.drain("q") == [b"%d" % number for number in numbers]
    by_level = sorted(numbers, key=lambda number: (-min(number % 7, 5), number))
    assert [delivery.body for delivery in all_of(channel, "levels")] == [b"%d" % number for number in by_level]
    channel.close()
    assert restart(machine).channel().drain("levels") == [b"%d" % number for number in by_level]


@pytest.mark.rule("7.7")
@after_any_end
def test_instant_of_expiry_survives_and_time_without_a_broker_counts(restart: Restart) -> None:
    machine = Machine()
    channel = machine.channel()
    channel.queue("q", durable=True, arguments={"x-message-ttl": 20_000, **TO_DEAD})
    channel.queue("dead", durable=True)
    channel.publish("q", b"own", properties=Properties(delivery_mode=2, expiration="10000"))
    keep(channel, "q", b"of the queue")
    machine.advance(2)
    machine = restart(machine)
    machine.time += 3
    machine = restart(machine)
    channel = machine.channel()
    machine.advance(1_000_000.0 + 9.98 - machine.time)
    assert channel.counts("q") == (2, 0)
    assert channel.counts("dead") == (0, 0)
    machine.advance(0.04)
    assert channel.counts("q") == (1, 0)
    machine.advance(1_000_000.0 + 19.98 - machine.time)
    assert channel.counts("q") == (1, 0)
    machine.advance(0.04)
    assert channel.drain("dead") == [b"own", b"of the queue"]


@pytest.mark.rule("7.7")
@after_any_end
def test_message_is_what_it_was(restart: Restart) -> None:
    machine = Machine()
    channel = machine.channel()
    channel.queue("q", durable=True)
    bind(channel, "q", "amq.topic", "#")
    properties = Properties(
        delivery_mode=2,
        content_type="text/plain",
        headers={"CC": [b"x"], "n": Int64(1), "nested": {"list": [b"1", True, None]}},
        priority=3,
        correlation_id="c",
        reply_to="r",
        expiration="100000",
        message_id="m",
        timestamp=1_700_000_000,
        type="t",
        user_id="guest",
        app_id="a",
    )
    body = bytes(range(256)) * 20
    channel.publish("a.key", body, exchange="amq.topic", properties=properties)
    delivery = got(restart(machine).channel(), "q")
    assert (delivery.exchange, delivery.routing_key, delivery.body) == ("amq.topic", "a.key", body)
    assert delivery.properties == properties


@pytest.mark.rule("7.7")
@after_any_end
def test_history_of_deaths_and_further_keys_go_on(restart: Restart) -> None:
    machine = Machine()
    channel = machine.channel()
    channel.queue("q", durable=True, arguments={"x-dead-letter-exchange": b"amq.direct"})
    channel.queue("again", durable=True, arguments={"x-dead-letter-exchange": b"amq.fanout"})
    for queue in ("seen", "unseen", "end"):
        channel.queue(queue, durable=True)
    for queue, key in (("again", "q"), ("seen", "copy"), ("unseen", "blind")):
        bind(channel, queue, "amq.direct", key)
    bind(channel, "end", "amq.fanout")
    headers: Table = {"CC": [b"copy"], "BCC": [b"blind"]}
    channel.publish("q", b"1", properties=Properties(delivery_mode=2, headers=headers))
    machine = restart(machine)
    channel = machine.channel()
    reject(channel, got(channel, "q"))
    machine = restart(machine)
    channel = machine.channel()
    assert channel.drain("seen") == channel.drain("unseen") == [b"1"]
    reject(channel, got(channel, "again"))
    machine = restart(machine)
    letter = got(machine.channel(), "end")
    deaths = letter.headers["x-death"]
    assert isinstance(deaths, list)
    history = [(death["queue"], death["exchange"], death["count"]) for death in deaths if isinstance(death, dict)]
    assert history == [(b"again", b"amq.direct", 1), (b"q", b"", 1)]
    assert letter.headers["x-first-death-queue"] == b"q"
    assert letter.headers["x-last-death-queue"] == b"again"
    assert (letter.exchange, letter.routing_key) == ("amq.fanout", "q")
    assert letter.headers["CC"] == [b"copy"]
    assert "BCC" not in letter.headers


@pytest.mark.rule("7.8")
@after_any_end
@pytest.mark.parametrize("config", [Config(), SMALL_WINDOW], ids=["in memory", "paged out"])
def test_what_was_out_is_ready_again_at_its_place(restart: Restart, config: Config) -> None:
    machine = Machine(config=config)
    channel = machine.channel()
    channel.queue("q", durable=True)
    bodies = [b"%d" % number for number in range(30)]
    keep(channel, "q", *bodies)
    qos(channel, 20)
    channel.consume("q")
    taken = [channel.expect_delivery() for _ in range(20)]
    for delivery in taken[::2]:
        ack(channel, delivery.tag)
    machine.advance(1)
    machine.writer.run()
    channel.client.pump()
    channel = restart(machine).channel()
    assert channel.counts("q") == (20, 0)
    assert channel.drain("q") == [*bodies[1:20:2], *bodies[20:]]


@pytest.mark.rule("7.9")
@pytest.mark.parametrize("config", [Config(), SMALL_WINDOW], ids=["in memory", "paged out"])
@pytest.mark.parametrize("restarts", [1, 2])
def test_redelivered_is_exact_after_a_clean_stop(config: Config, restarts: int) -> None:
    machine = Machine(config=config)
    channel = machine.channel()
    channel.queue("q", durable=True)
    quorum_queue(channel, "quorum")
    for queue in ("q", "quorum"):
        keep(channel, queue, *(b"%d" % number for number in range(30)))
        requeued = [got(channel, queue) for _ in range(5)]
        channel.send(BasicNack(delivery_tag=requeued[2].tag, requeue=True, multiple=True))
    got(channel, "q")
    for _ in range(restarts):
        machine = machine.restarted()
    for queue in ("q", "quorum"):
        flags = {delivery.body: delivery.redelivered for delivery in all_of(machine.channel(), queue)}
        assert flags == {b"%d" % number: number < 5 for number in range(30)}


@pytest.mark.rule("7.10")
def test_not_redelivered_means_never_delivered() -> None:
    machine = Machine()
    channel = machine.channel()
    channel.queue("q", durable=True)
    keep(channel, "q", b"1", b"2")
    machine = machine.restarted()
    machine.is_eager = False
    assert not got(machine.channel(), "q").redelivered
    for after in (machine.crashed(), machine.killed()):
        first = got(after.channel(), "q")
        assert (first.body, first.redelivered) == (b"1", True)


@pytest.mark.rule("7.10")
def test_flags_of_a_crash_are_kept_through_clean_stops() -> None:
    machine = Machine()
    channel = machine.channel()
    channel.queue("q", durable=True)
    keep(channel, "q", b"1")
    machine = machine.crashed()
    keep(machine.channel(), "q", b"2")
    machine = machine.restarted().restarted()
    assert [delivery.redelivered for delivery in all_of(machine.channel(), "q")] == [True, False]


@pytest.mark.rule("7.11")
def test_delivery_counts_of_quorum_queues_go_on() -> None:
    machine = Machine()
    channel = machine.channel()
    channel.queue("dead", durable=True)
    quorum_queue(channel, "q", delivery_limit=2, dead_letter_exchange=b"", dead_letter_routing_key=b"dead")
    keep(channel, "q", b"1", b"2")
    for count in (1, 2):
        channel.send(BasicReject(delivery_tag=got(channel, "q").tag, requeue=True))
        machine = machine.restarted()
        channel = machine.channel()
        delivery = got(channel, "q")
        assert (delivery.body, delivery.redelivered) == (b"1", True)
        assert delivery.headers["x-delivery-count"] == count
        channel.send(BasicNack(delivery_tag=delivery.tag, requeue=True))
    channel.send(BasicReject(delivery_tag=got(channel, "q").tag, requeue=True))
    assert channel.drain("dead") == [b"1"]
    fresh = got(channel, "q")
    assert (fresh.body, fresh.redelivered) == (b"2", False)
    assert "x-delivery-count" not in fresh.headers


@pytest.mark.rule("7.11")
def test_delivery_counts_survive_a_crash_once_something_later_is_on_disk() -> None:
    machine = Machine()
    channel = machine.channel()
    quorum_queue(channel, "q")
    keep(channel, "q", b"1")
    channel.send(BasicReject(delivery_tag=got(channel, "q").tag, requeue=True))
    commit_something(machine)
    assert got(machine.crashed().channel(), "q").headers["x-delivery-count"] == 1


def commit_something(machine: Machine) -> None:
    """Have a batch written."""
    channel = tx_select(machine.channel())
    channel.queue("other", durable=True)
    keep(channel, "other", b"?")
    commit(channel)


@after_any_end
def test_unroutable_after_a_restart_is_returned(restart: Restart) -> None:
    machine = Machine()
    channel = machine.channel()
    channel.queue("q", durable=True)
    delete_queue(channel, "q")
    channel = restart(machine).channel()
    channel.publish("q", b"1", mandatory=True)
    assert channel.expect_delivery(BasicReturn).body == b"1"


@pytest.mark.rule("4.22", "7.6")
@pytest.mark.parametrize("deleted", [False, True], ids=["purge", "delete"])
def test_what_a_purge_has_not_forgotten_yet_is_gone_after_a_clean_stop(deleted: bool) -> None:
    machine = Machine(config=SMALL_WINDOW)
    channel = machine.channel()
    channel.queue("q", durable=True)
    keep(channel, "q", *(b"%d" % number for number in range(2 * SLICE)))
    assert purge(channel, "q") == 2 * SLICE
    keep(channel, "q", b"after")
    if deleted:
        delete_queue(channel, "q")
    channel = machine.restarted().channel()
    assert has_queue(channel, "q") is not deleted
    if not deleted:
        assert channel.drain("q") == [b"after"]


@pytest.mark.rule("6.19", "6.17")
@pytest.mark.parametrize("steps", range(6))
def test_power_cut_during_a_commit_leaves_its_beginning_and_after_commit_ok_all_of_it(steps: int) -> None:
    machine = Machine()
    channel = machine.channel()
    channel.queue("q", durable=True)
    tx_select(channel)
    bodies = [b"%d" % number for number in range(5)]
    keep(channel, "q", *bodies)
    machine.is_eager = False
    channel.send(TxCommit())
    for _ in range(steps):
        machine.writer.step()
    channel.client.pump()
    is_committed = bool(channel.client.inbox)
    crashed = machine.crashed()
    crashed.is_eager = True
    left = crashed.channel().drain("q")
    assert left == bodies[: len(left)]
    assert not is_committed or left == bodies
