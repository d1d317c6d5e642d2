"""The pytest plugin, in runs of pytest of its own, and the mixin for unittest."""

from __future__ import annotations

import json
import os
import socket
import tomllib
from pathlib import Path

import pytest

from tests.embedding.plugin import PLUGIN

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parents[2]

OPTIONS = (*PLUGIN, "-p", "no:cacheprovider", "--strict-markers")

SYNC = """
import pika

def test_first(amqp_broker, amqp_url, amqp_broker_session):
    connection = pika.BlockingConnection(pika.URLParameters(amqp_url))
    connection.channel().queue_declare("q")
    assert [queue.name for queue in amqp_broker.queues] == ["q"]
    assert amqp_broker_session.queues == []
    connection.close()

def test_second_sees_nothing_of_the_first(amqp_broker, amqp_url):
    assert amqp_broker.queues == []
    assert amqp_broker.url == amqp_url
"""


@pytest.fixture(autouse=True)
def path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs in processes of their own find the packages wherever they run."""
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{ROOT / 'codec'}")


def run(pytester: pytest.Pytester, code: str, *options: str) -> pytest.RunResult:
    pytester.makepyfile(code)
    return pytester.runpytest_inprocess(*OPTIONS, *options)


def test_each_test_has_a_vhost_of_its_own(pytester: pytest.Pytester) -> None:
    run(pytester, SYNC).assert_outcomes(passed=2)


@pytest.mark.parametrize("options", [(), ("-n", "2")], ids=["here", "xdist"])
def test_a_broker_where_a_suite_expects_its_rabbitmq(pytester: pytest.Pytester, options: tuple[str, ...]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    code = f"""
    import pika, pytest

    @pytest.mark.parametrize("n", range(4))
    def test_with_the_port_in_its_code(n):
        pika.BlockingConnection(pika.ConnectionParameters(port={port})).close()
    """
    pytester.makeconftest(f"import socket; socket.create_connection(('127.0.0.1', {port})).close()")
    run(pytester, code, "--amqp-broker-port", str(port), *options).assert_outcomes(passed=4)


def test_the_fixtures_are_those_of_the_broker_on_that_port(pytester: pytest.Pytester) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    code = f"def test_it(amqp_broker): assert amqp_broker.port == {port}"
    run(pytester, code, f"--amqp-broker-port={port}").assert_outcomes(passed=1)


def test_a_port_that_is_taken_ends_the_run(pytester: pytest.Pytester) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = run(pytester, "def test_it(): pass", f"--amqp-broker-port={port}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: no broker on port {port}: *"])


def test_it_is_registered() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["entry-points"]["pytest11"] == {"amqp_broker": "amqp_broker.pytest_plugin"}


def test_definitions_beside_the_test(pytester: pytest.Pytester) -> None:
    queue = {"name": "from file", "vhost": "/", "durable": True, "auto_delete": False, "arguments": {}}
    pytester.makefile(".json", topology=json.dumps({"queues": [queue]}))
    code = """
    import pytest

    @pytest.mark.amqp_definitions("topology.json")
    @pytest.mark.amqp_definitions({"queues": [{"name": "from dict", "durable": True, "arguments": {}}]})
    def test_it(amqp_broker):
        assert {queue.name for queue in amqp_broker.queues} == {"from file", "from dict"}
    """
    run(pytester, code).assert_outcomes(passed=1)


def test_settings_are_a_fixture_to_override(pytester: pytest.Pytester) -> None:
    code = """
    import pytest

    @pytest.fixture(scope="session")
    def amqp_broker_settings():
        return {"default_user": "me"}

    def test_it(amqp_broker):
        assert amqp_broker.url.startswith("amqp://me:guest@")
    """
    run(pytester, code).assert_outcomes(passed=1)


def test_a_failure_shows_queues_and_log(pytester: pytest.Pytester) -> None:
    code = """
    import pika

    def test_it(amqp_broker, amqp_url):
        connection = pika.BlockingConnection(pika.URLParameters(amqp_url))
        channel = connection.channel()
        channel.queue_declare("orders")
        amqp_broker.publish("x", "orders")
        try:
            connection.channel().queue_declare("missing", passive=True)
        except pika.exceptions.ChannelClosedByBroker:
            pass
        try:
            assert False
        finally:
            connection.close()
    """
    result = run(pytester, code)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["*- amqp_broker -*", "*queue orders: 1 ready, 0 unacked, 0 consumers", "*- amqp_broker log -*", "*NOT_FOUND*"]
    )


def test_no_broker_starts_before_a_test_wants_one(pytester: pytest.Pytester) -> None:
    code = """
    import sys

    def test_it():
        assert "amqp_broker.server" not in sys.modules
    """
    pytester.makepyfile(code)
    pytester.runpytest_subprocess(*OPTIONS, "-p", "no:trio").assert_outcomes(passed=1)


def test_with_pytest_trio(pytester: pytest.Pytester) -> None:
    code = """
    import pytest
    import trio

    @pytest.mark.trio
    async def test_it(amqp_broker):
        await amqp_broker.wait_until_idle_async()
        stream = await trio.open_tcp_stream(amqp_broker.host, amqp_broker.port)
        await stream.send_all(b"AMQP\\x00\\x00\\x09\\x01")
        assert (await stream.receive_some())[0] == 1
        await stream.aclose()
    """
    run(pytester, code).assert_outcomes(passed=1)


def test_with_anyio(pytester: pytest.Pytester) -> None:
    code = """
    import aio_pika
    import pytest

    @pytest.fixture
    def anyio_backend():
        return "asyncio"

    @pytest.mark.anyio
    async def test_it(amqp_broker, amqp_url):
        async with await aio_pika.connect(amqp_url) as connection:
            channel = await connection.channel()
            await channel.declare_queue("q")
            await channel.default_exchange.publish(aio_pika.Message(b"x"), "q")
            await amqp_broker.wait_for_async("q", count=1)
    """
    run(pytester, code).assert_outcomes(passed=1)


def test_with_pytest_asyncio(pytester: pytest.Pytester) -> None:
    pytest.importorskip("pytest_asyncio")
    code = """
    import aio_pika
    import pytest

    @pytest.mark.asyncio
    async def test_it(amqp_broker, amqp_url):
        async with await aio_pika.connect(amqp_url) as connection:
            await (await connection.channel()).declare_queue("q")
            assert amqp_broker.queue("q").exists
    """
    run(pytester, code, "-p", "pytest_asyncio").assert_outcomes(passed=1)


def test_with_xdist_each_worker_has_a_broker(pytester: pytest.Pytester) -> None:
    pytest.importorskip("xdist")
    pytester.makepyfile(SYNC)
    pytester.runpytest_subprocess(*OPTIONS, "-n", "2").assert_outcomes(passed=2)


def test_with_unittest(pytester: pytest.Pytester) -> None:
    code = """
    import pika
    from amqp_broker.testing import AmqpBrokerMixin

    class TestOrders(AmqpBrokerMixin):
        amqp_broker_settings = {
            "management_port": None,
            "definitions": {"queues": [{"name": "q", "durable": True, "auto_delete": False, "arguments": {}}]},
        }

        def test_one(self):
            connection = pika.BlockingConnection(pika.URLParameters(self.amqp_url))
            connection.channel().basic_publish("", "q", b"x")
            self.broker.wait_for("q", count=1)
            connection.close()

        def test_two(self):
            assert self.broker.queue("q").messages == []
    """
    run(pytester, code).assert_outcomes(passed=2)
