"""One client's socket: what only the edge does. The clock is trio's and jumps; nothing sleeps."""

from __future__ import annotations

import logging
import select
import socket

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from amqp_broker.auth.users import Peer
from amqp_broker.config import Config
from amqp_broker.net.connection import serve_client
from amqp_broker.net.edge import in_round
from amqp_broker.session.connection import Connection
from amqp_codec import (
    HEARTBEAT_FRAME,
    PROTOCOL_HEADER,
    BasicReturn,
    ConnectionBlocked,
    ConnectionClose,
    ConnectionCloseOk,
    ConnectionStart,
    ConnectionStartOk,
    ConnectionUnblocked,
    QueueDeclare,
    encode_frame,
    encode_method_frame,
)
from tests.net.house import House
from tests.support.wire import WireClient, publish_frames, until

KIB = 1024


def connection_of(house: House, number: int) -> Connection:
    """The broker's end of the client that came as such a number."""
    (found,) = [
        client for client in house.broker.clients if isinstance(client, Connection) and client.peer.port == number
    ]
    return found


# Output


async def test_what_comes_of_a_batch_on_disk_is_sent_at_once(house: House) -> None:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    stream = trio.SocketStream(trio.socket.from_stdlib_socket(theirs))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve_client, house.broker, stream, Peer("127.0.0.1", 1))
        await trio.testing.wait_all_tasks_blocked()
        ours.send(PROTOCOL_HEADER)
        await until(lambda: bool(select.select([ours], [], [], 0)[0]), 0.001)
        assert ours.recv(KIB)
        in_round(connection_of(house, 1).send, 0, ConnectionBlocked(reason="the reason"))
        assert b"the reason" in ours.recv(KIB)
        ours.close()


# The handshake


@pytest.mark.rule("1.2")
@pytest.mark.parametrize("header", [b"AMQP\x00\x00\x09\x00", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01" + bytes(500)])
async def test_a_refused_client_reads_eight_octets_and_the_end(
    autojump_clock: MockClock, house: House, header: bytes
) -> None:
    client = house.visitor()
    started = trio.current_time()
    await client.send_octets(header)
    assert await client.rest() == PROTOCOL_HEADER
    assert trio.current_time() - started < 1
    await client.stream.aclose()
    await house.gone()


@pytest.mark.rule("1.2")
async def test_a_refused_client_that_has_closed_its_side_reads_them_too(
    autojump_clock: MockClock, house: House
) -> None:
    for _ in range(50):
        client = house.visitor()
        await client.send_octets(b"GET / HTTP/1.1\r\n\r\n")
        await client.stream.send_eof()
        assert await client.rest() == PROTOCOL_HEADER
    await house.gone()


@pytest.mark.rule("1.3")
async def test_a_health_check_is_not_logged(
    autojump_clock: MockClock, house: House, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        client = house.visitor()
        await trio.testing.wait_all_tasks_blocked()
        assert len(house.broker.clients) == 1
        await client.stream.aclose()
        await house.gone()
    assert not caplog.records


@pytest.mark.rule("1.3")
@pytest.mark.parametrize("stage", ["silent", "half a header", "header", "logged in"])
async def test_half_a_handshake_is_dropped_after_ten_seconds(
    autojump_clock: MockClock, house: House, stage: str
) -> None:
    started = trio.current_time()
    client = house.visitor()
    if stage == "half a header":
        await client.send_octets(PROTOCOL_HEADER[:5])
    elif stage == "header":
        await client.send_octets(PROTOCOL_HEADER)
        await client.expect(0, ConnectionStart)
    elif stage == "logged in":
        await client.login()
    assert await client.rest() == b""
    assert trio.current_time() - started == pytest.approx(10)
    assert not house.broker.clients


@pytest.mark.rule("1.12")
async def test_a_refused_login_is_kept_waiting_and_dropped(autojump_clock: MockClock, house: House) -> None:
    client = house.visitor()
    await client.send_octets(PROTOCOL_HEADER)
    await client.expect(0, ConnectionStart)
    started = trio.current_time()
    await client.send(0, ConnectionStartOk(mechanism="PLAIN", response=b"\0guest\0wrong", locale="en_US"))
    assert await client.rest() == b""
    assert trio.current_time() - started == pytest.approx(3)


# Heartbeats


@pytest.mark.rule("1.25", "1.26", "1.27")
async def test_a_silent_client_gets_heartbeats_and_is_dropped_without_a_word(
    autojump_clock: MockClock, house: House
) -> None:
    client = await house.client(heartbeat=4)
    heard = trio.current_time()
    rest = await client.rest()
    assert 8 <= trio.current_time() - heard <= 12
    assert rest.replace(HEARTBEAT_FRAME, b"") == b""
    assert len(rest) >= 3 * len(HEARTBEAT_FRAME)
    assert not house.broker.clients


@pytest.mark.rule("1.26")
async def test_a_client_that_beats_stays(autojump_clock: MockClock, house: House) -> None:
    client = await house.client(heartbeat=4)
    for _ in range(100):
        await trio.sleep(3.9)
        await client.send_octets(HEARTBEAT_FRAME)
    assert len(house.broker.clients) == 1


@pytest.mark.rule("1.26", "1.27")
async def test_a_client_that_neither_reads_nor_writes_is_dropped_in_the_middle_of_output(
    autojump_clock: MockClock, house: House
) -> None:
    slow, source = await house.client(heartbeat=5, lockstep=True), await house.client()
    await slow.declare("q")
    await slow.consume("q", no_ack=False)
    await source.publish("q", bytes(100 * KIB))
    await house.gone(1)
    assert await source.declare("q", passive=True) == 1


# Ends


@pytest.mark.rule("1.39")
async def test_after_close_ok_the_broker_waits_for_the_client_s_end(autojump_clock: MockClock, house: House) -> None:
    client = await house.client()
    await client.call(0, ConnectionClose(reply_code=200), ConnectionCloseOk)
    started = trio.current_time()
    await trio.sleep(29)
    assert len(house.broker.clients) == 1
    assert await client.rest() == b""
    assert trio.current_time() - started == pytest.approx(30)
    prompt = await house.client()
    await prompt.close()
    started = trio.current_time()
    await house.gone()
    assert trio.current_time() - started < 1


@pytest.mark.rule("1.40")
async def test_after_the_client_s_close_ok_the_broker_ends_its_side(autojump_clock: MockClock, house: House) -> None:
    client = await house.client()
    await client.send(7, QueueDeclare())
    assert (await client.expect(0, ConnectionClose)).reply_code == 504
    started = trio.current_time()
    await client.send(0, ConnectionCloseOk())
    assert await client.rest() == b""
    assert trio.current_time() - started < 1


@pytest.mark.rule("1.44")
async def test_after_a_frame_error_the_client_has_three_seconds_to_read_why(
    autojump_clock: MockClock, house: House
) -> None:
    client = await house.client()
    started = trio.current_time()
    await client.send_octets(b"\x01\x00\x01\x00\x00\x00\x00\x00" + bytes(100))
    assert "invalid_frame_end_marker" in (await client.expect(0, ConnectionClose)).reply_text
    await client.send_octets(bytes(100_000))
    assert await client.rest() == b""
    assert trio.current_time() - started == pytest.approx(3)


@pytest.mark.rule("1.41")
async def test_an_end_in_the_middle_of_a_message(
    autojump_clock: MockClock, house: House, caplog: pytest.LogCaptureFixture
) -> None:
    client, other = await house.client(), await house.client()
    await other.declare("q")
    await client.send_octets(publish_frames("q", bytes(1000))[:-20])
    await client.stream.aclose()
    await house.gone(1)
    assert await other.declare("q", passive=True) == 0
    assert not [record for record in caplog.records if record.levelno > logging.INFO]


@pytest.mark.rule("0.5")
async def test_a_fault_of_our_own_ends_one_connection_and_is_logged(
    autojump_clock: MockClock, house: House, caplog: pytest.LogCaptureFixture
) -> None:
    victim, other = await house.client(), await house.client()
    del connection_of(house, 1).received_count  # which it counts with
    await victim.send_octets(b"x")
    assert await victim.rest() == b""
    await house.gone(1)
    assert await other.declare("q") == 0
    (record,) = [record for record in caplog.records if record.levelno > logging.INFO]
    assert record.exc_info


# Backpressure


async def test_a_slow_reader_gets_bounded_output_and_everything_in_order(
    autojump_clock: MockClock, house: House
) -> None:
    slow, source = await house.client(lockstep=True), await house.client()
    await slow.declare("q")
    await slow.consume("q")
    bodies = [number.to_bytes(4) + bytes(10_000) for number in range(2000)]
    for body in bodies:
        await source.publish("q", body)
    assert await source.declare("q", passive=True) > 1000
    outbox = connection_of(house, 1).outbox
    assert house.broker.config.outbox_high_octets <= outbox.size <= house.broker.config.outbox_high_octets + 20_000
    for body in bodies:
        assert await slow.body() == body
        assert outbox.size <= house.broker.config.outbox_high_octets + 20_000
    assert await source.declare("q", passive=True) == 0


async def test_a_slow_reader_does_not_slow_the_other_consumers(autojump_clock: MockClock, house: House) -> None:
    slow, quick, source = await house.client(lockstep=True), await house.client(), await house.client()
    await slow.declare("q")
    await slow.consume("q")
    await quick.consume("q")
    for number in range(1000):
        await source.publish("q", number.to_bytes(4) + bytes(10_000))
    held = connection_of(house, 1).outbox.size // 10_000
    with trio.fail_after(1):
        for _ in range(1000 - held - 1):
            await quick.body()


async def sent_until_it_stalls(client: WireClient, octets: bytes, most: int) -> int:
    """How often something could be sent before the broker stopped reading."""
    count = 0
    with trio.move_on_after(5):
        while count < most:
            await client.send_octets(octets)
            count += 1
    return count


async def test_who_does_not_read_is_not_read_from(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    house = House(nursery, Config(outbox_high_octets=64 * KIB, outbox_limit_octets=256 * KIB))
    client, other = await house.client(lockstep=True), await house.client()
    octets = publish_frames("nowhere", bytes(10 * KIB), mandatory=True)
    count = await sent_until_it_stalls(client, octets, 10_000)
    outbox = connection_of(house, 1).outbox
    assert 20 <= count <= 60
    assert 256 * KIB <= outbox.size <= 600 * KIB
    assert await other.declare("q") == 0
    for _ in range(count):
        await client.expect(1, BasicReturn)
    async with trio.open_nursery() as both:
        both.start_soon(client.send_octets, octets)
        await client.expect(1, BasicReturn)
        both.cancel_scope.cancel()


@pytest.mark.rule("1.36", "1.34")
async def test_a_blocked_publisher_is_not_read_and_goes_on_later(autojump_clock: MockClock, house: House) -> None:
    client, source = await house.client(lockstep=True), await house.client()
    await client.declare("q")
    await client.consume("q")
    house.broker.set_alarm("memory", True)
    octets = publish_frames("nowhere", bytes(10))
    await client.send_octets(octets)
    async with trio.open_nursery() as both:
        sent: list[int] = []

        async def go_on() -> None:
            sent.append(await sent_until_it_stalls(client, octets, 100))

        both.start_soon(go_on)
        assert (await client.expect(0, ConnectionBlocked)).reason == "low on memory"
    assert sent == [0]
    house.broker.set_alarm("memory", False)
    await client.expect(0, ConnectionUnblocked)
    assert await sent_until_it_stalls(client, octets, 100) == 100
    await source.publish("q", b"after")
    assert await client.body() == b"after"


@pytest.mark.rule("1.36")
async def test_a_blocked_publisher_still_gets_deliveries(autojump_clock: MockClock, house: House) -> None:
    client, source = await house.client(), await house.client()
    await client.declare("q")
    await client.consume("q")
    await source.publish("q", b"before")
    assert await client.body() == b"before"
    house.broker.set_alarm("disk", True)
    await client.publish("nowhere", b"")
    await client.expect(0, ConnectionBlocked)
    await source.publish("q", b"during")
    assert await client.body() == b"during"
    await client.send(0, ConnectionClose())
    with trio.move_on_after(100) as waiting:
        await client.receive()
    assert waiting.cancelled_caught
    house.broker.set_alarm("disk", False)
    await client.expect(0, ConnectionUnblocked)
    await client.expect(0, ConnectionCloseOk)


# Fairness


async def test_a_flood_leaves_others_their_turn(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    house = House(nursery, Config(read_octets=4 * KIB))
    flood, polite = await house.client(), await house.client()
    await flood.declare("q")
    octets = publish_frames("q", b"x")
    await flood.send_octets(octets * 100_000)
    seen = [await polite.declare("q", passive=True) for _ in range(20)]
    per_read = 4 * KIB // len(octets) + 1
    assert seen[-1] < 20 * 20 * per_read < 100_000
    while seen[-1] < 100_000:
        seen.append(await polite.declare("q", passive=True))
        assert seen[-1] - seen[-2] < 20 * per_read


# Many of them


@pytest.mark.rule("1.41")
async def test_a_thousand_connections_come_and_go_and_leave_nothing(autojump_clock: MockClock, house: House) -> None:
    vhost = house.broker.vhosts["/"]
    queues = set(vhost.queues)

    async def visit(number: int) -> None:
        client = house.visitor()
        stage = number % 5
        if stage == 1:
            await client.send_octets(PROTOCOL_HEADER[:3])
        elif stage == 2:
            await client.login()
        elif stage == 3:
            await client.open(heartbeat=60)
            declare = QueueDeclare(queue=f"q{number}", exclusive=True, arguments={"x-message-ttl": 1000})
            await client.send(1, declare)
            await client.publish(f"q{number}", b"x")
        elif stage == 4:
            await client.open(heartbeat=60)
            await client.close()
            return
        await client.stream.aclose()

    async with trio.open_nursery() as visitors:
        for number in range(1000):
            visitors.start_soon(visit, number)
    await house.gone()
    assert set(vhost.queues) == queues
    assert house.broker.timers.next_deadline() is None


async def test_broken_clients_leave_a_working_one_alone(autojump_clock: MockClock, house: House) -> None:
    consumer, publisher = await house.client(), await house.client()
    await consumer.declare("q")
    await consumer.consume("q")
    for number in range(200):
        client = house.visitor() if number % 2 else await house.client()
        await client.send_octets((b"nonsense" * 3, encode_frame(77, 1, b"x"), encode_frame(3, 1, b"y"))[number % 3])
        if number % 5 == 0:
            await client.stream.aclose()
        await publisher.publish("q", str(number).encode())
        assert await consumer.body() == str(number).encode()
    await trio.sleep(31)
    assert len(house.broker.clients) == 2


async def test_a_client_may_pipeline_its_whole_life(autojump_clock: MockClock, house: House) -> None:
    client = house.visitor()
    await client.login()
    octets = b"".join(
        (
            b"\x01\x00\x00\x00\x00\x00\x0c\x00\x0a\x00\x1f\x07\xff\x00\x02\x00\x00\x00\x00\xce",
            b"\x01\x00\x00\x00\x00\x00\x08\x00\x0a\x00\x28\x01/\x00\x00\xce",
            b"\x01\x00\x01\x00\x00\x00\x05\x00\x14\x00\x0a\x00\xce",
            encode_method_frame(1, QueueDeclare(queue="q")),
            publish_frames("q", b"x"),
            encode_method_frame(1, QueueDeclare(queue="q", passive=True)),
            encode_method_frame(0, ConnectionClose(reply_code=200)),
        )
    )
    await client.send_octets(octets)
    names = []
    while (command := await client.receive()) is not None:
        names.append(command.method.name)
        if command.method.name == "connection.close-ok":
            await client.stream.send_eof()
    assert names == [
        "connection.open-ok",
        "channel.open-ok",
        "queue.declare-ok",
        "queue.declare-ok",
        "connection.close-ok",
    ]
