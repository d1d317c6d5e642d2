"""What a test sees of an embedded broker, and does to it."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel as Blocking

from amqp_broker.embedding import EmbeddedBroker, run_in_thread
from amqp_broker.embedding.clock import seconds


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    with run_in_thread(management_port=None) as started:
        yield started


@pytest.fixture
def channel(broker: EmbeddedBroker) -> Iterator[Blocking]:
    parameters = pika.URLParameters(broker.url)
    parameters.client_properties = {"connection_name": "the test"}
    connection = pika.BlockingConnection(parameters)
    yield connection.channel()
    if connection.is_open:
        connection.close()


def test_messages_are_seen_in_the_order_in_which_they_would_be_taken(broker: EmbeddedBroker, channel: Blocking) -> None:
    channel.queue_declare("q", arguments={"x-max-priority": 5})
    for body, priority in (("low", 1), ("high", 4), ("also low", 1)):
        channel.basic_publish("", "q", body, pika.BasicProperties(priority=priority, headers={"n": 7, "t": "x"}))
    broker.wait_for(queue="q", count=3)
    messages = broker.queue("q").messages
    assert [message.text for message in messages] == ["high", "low", "also low"]
    assert messages[0].headers == {"n": 7, "t": "x"}
    assert messages[0].priority == 4
    assert (messages[0].exchange, messages[0].routing_key) == ("", "q")


def test_a_returned_message_is_seen_as_redelivered(broker: EmbeddedBroker, channel: Blocking) -> None:
    channel.queue_declare("q")
    broker.publish("one", "q")
    broker.publish("two", "q")
    method, _, _ = channel.basic_get("q")
    assert broker.queue("q").unacked_count == 1
    channel.basic_nack(method.delivery_tag)
    broker.wait_for(queue="q", count=2)
    assert [(each.text, each.redelivered) for each in broker.queue("q").messages] == [("one", True), ("two", False)]


def test_the_messages_of_a_stream_and_of_a_quorum_queue(broker: EmbeddedBroker, channel: Blocking) -> None:
    for kind in ("stream", "quorum"):
        channel.queue_declare(kind, durable=True, arguments={"x-queue-type": kind})
        assert broker.queue(kind).messages == []
        for body in ("one", "two"):
            broker.publish(body, kind)
        assert [message.text for message in broker.queue(kind).messages] == ["one", "two"]


def test_bindings_consumers_connections(broker: EmbeddedBroker, channel: Blocking) -> None:
    channel.exchange_declare("x", "topic")
    channel.queue_declare("q")
    channel.queue_bind("q", "x", "a.#", arguments={"k": "v"})
    channel.basic_qos(prefetch_count=3)
    channel.basic_consume("q", lambda *_: None, consumer_tag="me")
    queue = broker.queue("q")
    assert [(each.exchange, each.routing_key, each.arguments) for each in queue.bindings] == [("x", "a.#", {"k": "v"})]
    assert [(each.tag, each.prefetch_count) for each in queue.consumers] == [("me", 3)]
    assert [(each.client_name, each.channels) for each in broker.connections] == [("the test", 1)]
    assert broker.exchanges == ["x"]
    assert "q: 0 ready, 0 unacked, 1 consumers" in broker.describe()


def test_a_queue_that_is_not_there(broker: EmbeddedBroker) -> None:
    assert not broker.queue("q").exists
    with pytest.raises(LookupError, match="no queue 'q'"):
        _ = broker.queue("q").messages
    with pytest.raises(LookupError, match="no exchange 'x'"):
        broker.publish(b"", "", exchange="x")


def test_a_message_put_in_is_what_a_client_would_have_sent(broker: EmbeddedBroker, channel: Blocking) -> None:
    channel.queue_declare("q")
    assert broker.publish("text", "q", headers={"a": "b"}, content_type="text/plain", delivery_mode=2)
    assert not broker.publish("text", "nowhere")
    _, properties, body = channel.basic_get("q", auto_ack=True)
    assert (body, properties.content_type, properties.headers) == (b"text", "text/plain", {"a": "b"})
    with pytest.raises(ValueError, match="expiration"):
        broker.publish("text", "q", expiration="soon")


def test_messages_and_queues_expire_when_the_clock_is_advanced(broker: EmbeddedBroker, channel: Blocking) -> None:
    channel.queue_declare("dead")
    channel.queue_declare(
        "q",
        arguments={
            "x-message-ttl": 600_000,
            "x-expires": 3_600_000,
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": "dead",
        },
    )
    broker.publish("x", "q")
    broker.clock.advance("9m59s")
    assert broker.queue("q").message_count == 1
    broker.clock.advance("2s")
    assert broker.queue("q").message_count == 0
    assert broker.queue("dead").messages[0].headers["x-death"][0]["reason"] == "expired"
    broker.clock.advance("1h")
    assert not broker.queue("q").exists


def test_delayed_messages_come_when_the_clock_is_advanced(broker: EmbeddedBroker, channel: Blocking) -> None:
    channel.exchange_declare("later", "x-delayed-message", arguments={"x-delayed-type": "fanout"})
    channel.queue_declare("q")
    channel.queue_bind("q", "later")
    broker.publish("x", "", exchange="later", headers={"x-delay": 86_400_000})
    broker.clock.advance("23h59m")
    assert broker.queue("q").message_count == 0
    broker.clock.advance("2m")
    assert broker.queue("q").message_count == 1


def test_a_consumer_that_keeps_a_delivery_times_out(broker: EmbeddedBroker, channel: Blocking) -> None:
    channel.queue_declare("q", durable=True, arguments={"x-queue-type": "quorum", "x-consumer-timeout": 60_000})
    channel.basic_consume("q", lambda *_: None)
    broker.publish("x", "q")
    broker.wait_for(condition=lambda: broker.queue("q").unacked_count == 1)
    broker.clock.advance("5m")
    assert broker.queue("q").consumers == []
    assert broker.queue("q").message_count == 1


def test_a_frozen_clock_stands_until_it_is_advanced(broker: EmbeddedBroker) -> None:
    broker.clock.freeze()
    before = broker.clock.now()
    broker.clock.advance("1h30m")
    assert broker.clock.now() == before + 5400
    assert broker.clock.is_frozen
    broker.clock.resume()
    broker.wait_for(condition=lambda: broker.clock.now() > before + 5400)


def test_clients_with_heartbeats_survive_a_clock_that_is_advanced(broker: EmbeddedBroker) -> None:
    parameters = pika.URLParameters(broker.url)
    parameters.heartbeat = 5
    connection = pika.BlockingConnection(parameters)
    broker.clock.advance("30d")
    connection.process_data_events()
    connection.channel().queue_declare("q")
    assert len(broker.connections) == 1
    connection.close()


@pytest.mark.parametrize(
    ("text", "expected"), [("250ms", 0.25), ("10m", 600), ("1h30m", 5400), ("1.5s", 1.5), (3, 3), ("2d", 172_800)]
)
def test_durations(text: str | int, expected: float) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["", "10", "m", "10 m", "-1s", -1, float("nan")])
def test_what_is_no_duration(text: str | float) -> None:
    with pytest.raises(ValueError, match=r"clock|duration"):
        seconds(text)


def test_confirms_can_be_refused(broker: EmbeddedBroker, channel: Blocking) -> None:
    channel.queue_declare("q")
    channel.confirm_delivery()
    with broker.confirms_refused(), pytest.raises(pika.exceptions.NackError):
        channel.basic_publish("", "q", b"refused")
    channel.basic_publish("", "q", b"fine")


def test_confirms_can_be_held_and_delayed(broker: EmbeddedBroker, channel: Blocking) -> None:
    channel.queue_declare("q")
    channel.confirm_delivery()
    confirmed = threading.Event()

    def publish() -> None:
        channel.basic_publish("", "q", b"x")
        confirmed.set()

    with broker.confirms_held():
        thread = threading.Thread(target=publish)
        thread.start()
        broker.wait_for(queue="q", count=1)
        assert not confirmed.is_set()
    thread.join()
    confirmed.clear()
    with broker.confirms_delayed("1h"):
        thread = threading.Thread(target=publish)
        thread.start()
        broker.wait_for(queue="q", count=2)
        assert not confirmed.is_set()
        broker.clock.advance("2h")
        thread.join()


def test_logins_can_be_refused(broker: EmbeddedBroker) -> None:
    parameters = pika.URLParameters(broker.url)
    with broker.logins_refused(), pytest.raises(pika.exceptions.ProbableAuthenticationError):
        pika.BlockingConnection(parameters)
    pika.BlockingConnection(parameters).close()


@pytest.mark.parametrize("resource", ["memory", "disk"])
def test_alarms_block_publishers(broker: EmbeddedBroker, channel: Blocking, resource: str) -> None:
    blocked: list[object] = []
    channel.connection.add_on_connection_blocked_callback(lambda _, method: blocked.append(method.method.reason))
    channel.queue_declare("q")
    with broker.alarm(resource):
        channel.basic_publish("", "q", b"what tells the broker that this is a publisher")
        broker.wait_for(condition=lambda: broker.connections[0].is_blocked)
        channel.basic_publish("", "q", b"what waits")
        channel.connection.process_data_events()
        assert broker.queue("q").message_count <= 1  # none where its frames came in two pieces
    broker.wait_for(queue="q", count=2)
    broker.wait_for(condition=lambda: channel.connection.process_data_events() or blocked)
    assert blocked == [f"low on {resource}"]
    with pytest.raises(ValueError, match="expected memory or disk"):
        broker.set_alarm("patience", True)


def test_connections_can_be_closed_and_aborted(broker: EmbeddedBroker, channel: Blocking) -> None:
    assert broker.drop_connections(name="somebody else") == 0
    assert broker.drop_connections(name="the test") == 1
    with pytest.raises(pika.exceptions.ConnectionClosedByBroker):
        channel.queue_declare("q")
    connection = pika.BlockingConnection(pika.URLParameters(broker.url))
    assert broker.drop_connections(abort=True) == 1
    with pytest.raises(pika.exceptions.StreamLostError):
        connection.channel()


def test_a_wait_that_is_in_vain_says_how_things_are(broker: EmbeddedBroker, channel: Blocking) -> None:
    channel.queue_declare("q")
    with pytest.raises(TimeoutError, match=r"waited in vain for queue 'q', 3 messages\n.*\n  queue q: 0 ready"):
        broker.wait_for(queue="q", count=3, timeout="10ms")
    with pytest.raises(TypeError, match="name it"):
        broker.wait_for(count=3)


def test_idle_is_when_consumers_have_acked_all(broker: EmbeddedBroker, channel: Blocking) -> None:
    channel.queue_declare("q")
    broker.publish("x", "q")
    broker.wait_until_idle()
    channel.basic_consume("q", lambda *_: None)
    broker.wait_for(condition=lambda: broker.queue("q").unacked_count == 1)
    with pytest.raises(TimeoutError, match="not idle"):
        broker.wait_until_idle(timeout="50ms")
    channel.basic_ack(1)
    broker.wait_until_idle()


def test_a_fresh_vhost_is_gone_with_its_clients(broker: EmbeddedBroker) -> None:
    with broker.fresh_vhost("mine") as mine:
        connection = pika.BlockingConnection(pika.URLParameters(mine.url))
        connection.channel().queue_declare("q")
        mine.set_alarm("disk", True)
        mine.clock.freeze()
        assert [queue.name for queue in mine.queues] == ["q"]
        assert broker.queues == []
    assert not broker.clock.is_frozen
    with pytest.raises(LookupError, match="no vhost 'mine'"):
        _ = mine.queues
    with pytest.raises(pika.exceptions.AMQPError):
        connection.channel()


def test_definitions_of_another_vhost_go_into_this_one(broker: EmbeddedBroker) -> None:
    queue = {"name": "q", "durable": True, "auto_delete": False, "arguments": {}}
    there, elsewhere = {**queue, "vhost": "/"}, {**queue, "name": "other", "vhost": "elsewhere"}
    with broker.fresh_vhost("mine") as mine:
        mine.load_definitions_here({"vhosts": [{"name": "/"}], "queues": [there, elsewhere]})
        assert [each.name for each in mine.queues] == ["q"]
        with pytest.raises(ValueError, match="several vhosts: a, b"):
            mine.load_definitions_here({"queues": [{**queue, "vhost": "a"}, {**queue, "vhost": "b"}]})
