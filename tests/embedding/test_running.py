"""Starting and ending: what surfaces, and that nothing is left behind."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import threading
from pathlib import Path

import aio_pika
import pika
import pytest
import trio

import amqp_broker
from amqp_broker.config import Config
from amqp_broker.embedding import BrokerCrashedError, BrokerStoppedError, run_in_thread
from amqp_broker.net.doors import ListenError
from amqp_broker.server import Server
from tests.support.wire import WireClient


def connect(url: str) -> pika.BlockingConnection:
    return pika.BlockingConnection(pika.URLParameters(url))


def descriptors() -> set[tuple[str, str]]:
    """What is open in this process; sockets and pipes have an inode in their name, so none is taken for another."""
    there = set()
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # that of the directory
            there.add((link.name, str(link.readlink())))
    return there


def test_a_synchronous_program() -> None:
    with amqp_broker.run_in_thread() as broker:
        connection = connect(broker.url)
        channel = connection.channel()
        channel.queue_declare("q")
        channel.basic_publish("", "q", b"hello")
        broker.wait_for(queue="q", count=1)
        assert [message.body for message in broker.queue("q").messages] == [b"hello"]
        connection.close()


def test_a_program_on_asyncio() -> None:
    async def main(url: str, broker: amqp_broker.EmbeddedBroker) -> bytes:
        connection = await aio_pika.connect(url)
        async with connection:
            channel = await connection.channel()
            queue = await channel.declare_queue("q")
            await channel.default_exchange.publish(aio_pika.Message(b"hello"), "q")
            await broker.wait_for_async(queue="q", count=1)
            message = await queue.get()
            await message.ack()
            await broker.wait_until_idle_async()
            return message.body

    with run_in_thread() as broker:
        assert asyncio.run(main(broker.url, broker)) == b"hello"


async def test_a_program_on_trio_with_the_broker_in_its_own_loop() -> None:
    async with amqp_broker.open() as broker:
        client = WireClient(await trio.open_tcp_stream(broker.host, broker.port))
        await client.open()
        await client.declare("q")
        await client.publish("q", b"hello")
        await broker.wait_for_async(queue="q", count=1)
        assert broker.queue("q").messages[0].text == "hello"
        with pytest.raises(RuntimeError, match="would wait for itself"):
            broker.wait_for(queue="q")
        await client.close()


async def test_a_program_on_trio_with_the_broker_in_a_thread() -> None:
    with run_in_thread() as broker:
        broker.publish(b"x", "nowhere")
        await broker.wait_for_async(connections=0)


def test_settings_are_those_of_config() -> None:
    with run_in_thread(
        default_user="me", default_password="a/b", default_vhost="there", management_port=None
    ) as broker:
        assert broker.url.startswith("amqp://me:a%2Fb@127.0.0.1:")
        assert broker.url.endswith("/there")
        assert broker.management_url is None
        connect(broker.url).close()


def test_definitions_are_there_when_it_starts() -> None:
    queue = {"name": "q", "vhost": "/", "durable": True, "auto_delete": False, "arguments": {}}
    with run_in_thread(definitions={"queues": [queue]}) as broker:
        assert [state.name for state in broker.queues] == ["q"]


def test_a_data_directory_keeps_what_was_there(tmp_path: Path) -> None:
    for expected in (0, 1):
        with run_in_thread(data_dir=tmp_path / "data") as broker:
            connection = connect(broker.url)
            channel = connection.channel()
            channel.confirm_delivery()
            assert channel.queue_declare("q", durable=True).method.message_count == expected
            channel.basic_publish("", "q", b"kept", pika.BasicProperties(delivery_mode=2))
            connection.close()


def test_two_hundred_brokers_leave_nothing() -> None:
    with run_in_thread():
        pass
    # Whatever tests before this one have left may be collected meanwhile: what counts is what is new.
    threads, files = set(threading.enumerate()), descriptors()
    for _ in range(200):
        with run_in_thread() as broker:
            broker.publish(b"x", "q")
    assert set(threading.enumerate()) <= threads
    assert descriptors() <= files


def test_clients_that_are_left_open_hold_nothing_up() -> None:
    with run_in_thread() as broker:
        connection = connect(broker.url)
        assert len(broker.connections) == 1
    with pytest.raises(pika.exceptions.AMQPError):
        connection.channel()


def test_ctrl_c_in_the_body_ends_the_broker(request: pytest.FixtureRequest) -> None:
    before = set(threading.enumerate())
    # A job in the background of a script ignores it.
    old = signal.signal(signal.SIGINT, signal.default_int_handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, old))

    def interrupted() -> None:
        with run_in_thread():
            os.kill(os.getpid(), signal.SIGINT)
            signal.sigwait({signal.SIGUSR1})

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert set(threading.enumerate()) <= before


def test_no_signal_handler_is_taken() -> None:
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    with run_in_thread():
        assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == handlers


def test_an_error_in_the_body_comes_out_as_it_is() -> None:
    with pytest.raises(ZeroDivisionError), run_in_thread():
        raise ZeroDivisionError


async def test_an_error_in_the_body_on_trio_comes_out_as_it_is() -> None:
    with pytest.raises(ZeroDivisionError):
        async with amqp_broker.open():
            raise ZeroDivisionError


async def test_cancelling_the_body_on_trio_ends_the_broker() -> None:
    began = trio.current_time()
    with trio.CancelScope() as scope:
        async with amqp_broker.open() as broker:
            scope.cancel()
            await trio.sleep_forever()
    assert trio.current_time() - began < 4  # nobody waits for what was cancelled
    with pytest.raises(BrokerStoppedError):
        _ = broker.queues


def test_after_the_end_it_says_that_it_has_stopped() -> None:
    with run_in_thread() as broker:
        pass
    with pytest.raises(BrokerStoppedError):
        _ = broker.queues


def test_what_keeps_it_from_starting_is_raised() -> None:
    with (
        run_in_thread(management_port=None) as first,
        pytest.raises(ListenError),
        run_in_thread(port=first.port, management_port=None),
    ):
        pass
    with pytest.raises(TypeError, match="nonsense"), run_in_thread(nonsense=1):
        pass


async def test_what_keeps_it_from_starting_is_raised_on_trio() -> None:
    async with amqp_broker.open(management_port=None) as first:
        with pytest.raises(ListenError):
            async with amqp_broker.open(port=first.port, management_port=None):
                pass


def break_server(monkeypatch: pytest.MonkeyPatch, is_on_fire: threading.Event) -> None:
    """Have a task of the server fail when the event is set."""

    async def burn(_resources: object) -> None:
        while not is_on_fire.is_set():  # noqa: ASYNC110 - set by another thread
            await trio.sleep(0.001)
        raise OSError("the machine is on fire")

    monkeypatch.setattr("amqp_broker.server._watch_resources", burn)


def test_a_crash_of_the_broker_surfaces(monkeypatch: pytest.MonkeyPatch) -> None:
    is_on_fire = threading.Event()
    break_server(monkeypatch, is_on_fire)

    def use() -> None:
        with run_in_thread() as broker:
            is_on_fire.set()
            broker.wait_for(connections=1)

    with pytest.raises(BrokerCrashedError) as caught:
        use()
    assert "on fire" in repr(caught.value.__cause__)


def test_a_crash_surfaces_at_the_end_of_a_body_that_asks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    is_on_fire = threading.Event()
    break_server(monkeypatch, is_on_fire)
    thread = run_in_thread()
    thread.start()
    is_on_fire.set()
    assert thread._thread is not None
    thread._thread.join()
    with pytest.raises(BrokerCrashedError):
        thread.stop()


async def test_a_crash_cancels_the_body_on_trio(monkeypatch: pytest.MonkeyPatch) -> None:
    is_on_fire = threading.Event()
    break_server(monkeypatch, is_on_fire)

    async def use() -> None:
        async with amqp_broker.open():
            is_on_fire.set()
            await trio.sleep_forever()

    with pytest.raises(BrokerCrashedError):
        await use()


def test_the_log_goes_to_one_logger_only(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "amqp_broker"), run_in_thread() as broker:
        connect(broker.url).close()
    assert any("opened vhost" in record.message for record in caplog.records)
    assert {record.name.partition(".")[0] for record in caplog.records if "pika" not in record.name} == {"amqp_broker"}
    assert capfd.readouterr() == ("", "")


def test_systemd_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
    monkeypatch.setenv("LISTEN_FDS", "1")
    with run_in_thread() as broker:
        connect(broker.url).close()
    assert os.environ["LISTEN_FDS"] == "1"


def test_importing_the_package_imports_no_broker() -> None:
    import subprocess
    import sys

    code = "import sys, amqp_broker, amqp_broker.pytest_plugin; print('trio' in sys.modules, 'attrs' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_a_server_by_itself_has_one_schedule() -> None:
    async def main() -> None:
        broker = Server(Config()).broker
        assert broker.connection_timers is broker.timers

    trio.run(main)
