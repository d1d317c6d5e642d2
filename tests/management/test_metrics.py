"""Metrics: the format, the names of RabbitMQ's exporter, and that what is counted is shown."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final

import httpx
import pytest

from amqp_broker.management.metrics.app import MAX_PATTERNS, MetricsSite
from amqp_broker.management.metrics.exposition import Family, Sample, lines
from amqp_broker.management.metrics.objects import FAMILIES
from amqp_broker.management.metrics.overall import Totals
from amqp_broker.queues.arguments import QueueType
from tests.management.support import api_of, node_of
from tests.support.client import ChannelClient, World

RECORDED = Path(__file__).parents[1] / "data" / "rabbitmq-4.3.6-metrics.txt"
"""Page, name, type and labels of what a RabbitMQ 4.3.6 showed; `-` for no labels, `?` for no series."""

DASHBOARD: Final = """
identity_info build_info erlang_uptime_seconds resident_memory_limit_bytes process_resident_memory_bytes
disk_space_available_bytes disk_space_available_limit_bytes process_open_fds process_max_fds connections
channels consumers queues queue_messages queue_messages_ready queue_messages_unacked queue_messages_bytes
connections_opened_total connections_closed_total channels_opened_total channels_closed_total
queues_declared_total queues_created_total queues_deleted_total global_publishers global_consumers
global_messages_received_total global_messages_received_confirm_total global_messages_confirmed_total
global_messages_routed_total global_messages_unroutable_dropped_total
global_messages_unroutable_returned_total global_messages_delivered_total
global_messages_delivered_consume_auto_ack_total global_messages_delivered_consume_manual_ack_total
global_messages_delivered_get_auto_ack_total global_messages_delivered_get_manual_ack_total
global_messages_get_empty_total global_messages_redelivered_total global_messages_acknowledged_total
message_size_bytes alarms_memory_used_watermark alarms_free_disk_space_watermark
unreachable_cluster_peers_count
"""
"""What the dashboard RabbitMQ-Overview and the usual alert rules ask for."""

OTHER_LABELS: Final = {
    "rabbitmq_queue_messages_published_total": "here a queue is one series, not one for each channel and exchange",
}
"""Deliberate differences."""

SAMPLE = re.compile(r'^([a-z_0-9]+)(?:\{((?:[a-z_]+="(?:[^"\\]|\\.)*",?)*)\})? (-?[0-9.e+-]+)$')


@pytest.fixture
def channel() -> ChannelClient:
    return World().channel()


@pytest.fixture
async def pages(channel: ChannelClient) -> AsyncIterator[httpx.AsyncClient]:
    site = MetricsSite(node_of(channel.world.broker))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(site), base_url="http://broker") as client:
        yield client


async def read(pages: httpx.AsyncClient, path: str) -> dict[str, dict[str, float]]:
    """A page: name → labels as they stand → value."""
    text = (await pages.get(path)).text
    found: dict[str, dict[str, float]] = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            match = SAMPLE.match(line)
            assert match, line
            name, labels, value = match.groups()
            series = found.setdefault(name, {})
            assert (labels or "") not in series, line
            series[labels or ""] = float(value)
    return found


async def test_everything_that_dashboards_show_is_there(pages: httpx.AsyncClient) -> None:
    found = await read(pages, "/metrics")
    missing = [name for name in DASHBOARD.split() if not any(each.startswith(f"rabbitmq_{name}") for each in found)]
    assert missing == []
    assert len(found["rabbitmq_identity_info"]) == 1


@pytest.mark.parametrize("page", ["metrics", "per-object", "detailed"])
async def test_types_and_labels_are_rabbitmq_s(channel: ChannelClient, pages: httpx.AsyncClient, page: str) -> None:
    channel.publish_all(channel.queue("q"), b"1")
    families = "&".join(f"family={family}" for family in FAMILIES)
    path = {"metrics": "/metrics", "per-object": "/metrics/per-object", "detailed": f"/metrics/detailed?{families}"}[
        page
    ]
    text = (await pages.get(path)).text
    shown = dict(re.findall(r"^# TYPE (\w+) (\w+)$", text, re.MULTILINE))
    recorded = [line.split() for line in RECORDED.read_text("ascii").splitlines() if line.startswith(f"{page} ")]
    common = [
        (name, kind, labels)
        for _, name, kind, labels in recorded
        if name in shown and labels != "?" and name not in OTHER_LABELS
    ]
    assert len(common) >= {"metrics": 50, "per-object": 50, "detailed": 5}[page]
    for name, kind, labels in common:
        assert shown[name] == kind or kind == "untyped", name
        series = re.search(rf"^{name}(?:_bucket)?(?:\{{(.*?)\}})? ", text, re.MULTILINE)
        assert series, name
        own = [label for label in re.findall(r'([a-z_]+)="', series[1] or "") if label != "le"]
        extra = {"build_info": {"product_version", "product_name"}}.get(name.removeprefix("rabbitmq_"), set())
        wanted = set() if labels == "-" else set(labels.split(","))
        # RabbitMQ shows what a channel published once for each exchange; here a channel is one series.
        assert set(own) - extra == wanted - (
            {"exchange", "queue"} if name.startswith("rabbitmq_channel_") else set()
        ), name


async def test_messages_are_counted_by_queue_type_and_stay_counted(
    channel: ChannelClient, pages: httpx.AsyncClient
) -> None:
    name = channel.queue("q", arguments={"x-message-ttl": 0})
    channel.consume(name, no_ack=True)
    channel.publish_all(name, b"x" * 150, b"y" * 5)
    delivered = 'protocol="amqp091",queue_type="rabbit_classic_queue"'
    vhost = channel.world.broker.vhosts["/"]
    for is_gone in (False, True):
        if is_gone:
            vhost.delete_queue(vhost.queues[name])
            channel.client.drop()
        found = await read(pages, "/metrics")
        assert found["rabbitmq_global_messages_delivered_consume_auto_ack_total"][delivered] == 2
        assert found["rabbitmq_global_messages_received_total"]['protocol="amqp091"'] == 2
        sizes = found["rabbitmq_message_size_bytes_bucket"]
        assert sizes['protocol="amqp091",le="100"'] == 1
        assert sizes['protocol="amqp091",le="1000"'] == sizes['protocol="amqp091",le="+Inf"'] == 2
        assert found["rabbitmq_message_size_bytes_sum"]['protocol="amqp091"'] == 155


async def test_dead_letters_by_reason(channel: ChannelClient, pages: httpx.AsyncClient) -> None:
    name = channel.queue("q", arguments={"x-max-length": 1})
    channel.publish_all(name, b"1", b"2")
    found = await read(pages, "/metrics")
    labels = 'queue_type="rabbit_classic_queue",dead_letter_strategy="disabled"'
    assert found["rabbitmq_global_messages_dead_lettered_maxlen_total"][labels] == 1


async def test_only_what_is_asked_for(channel: ChannelClient, pages: httpx.AsyncClient) -> None:
    for name in ("alpha", "beta"):
        channel.queue(name)
    found = await read(pages, "/metrics/detailed?family=queue_coarse_metrics&vhost=/&queue=^al")
    assert list(found["rabbitmq_detailed_queue_messages"]) == ['vhost="/",queue="alpha"']
    assert "rabbitmq_detailed_queue_consumers" not in found
    assert (await pages.get("/metrics/detailed?queue=(")).status_code == 400


async def test_hostile_names_stay_one_label(channel: ChannelClient, pages: httpx.AsyncClient) -> None:
    channel.queue('a"} 1\\')
    found = await read(pages, "/metrics/per-object")
    assert 'vhost="/",queue="a\\"} 1\\\\"' in found["rabbitmq_queue_messages"]


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/", 404), ("GET", "/api/x", 404), ("POST", "/metrics", 405)]
)
async def test_other_requests(pages: httpx.AsyncClient, method: str, path: str, status: int) -> None:
    assert (await pages.request(method, path)).status_code == status


def test_a_family_without_samples_is_left_out() -> None:
    assert list(lines(Family("x", "gauge", "X", []))) == []
    text = "".join(lines(Family("x_total", "counter", "X", [Sample(1.5, {"a": "\n"})])))
    assert text == '# TYPE x_total counter\n# HELP x_total X\nx_total{a="\\n"} 1.5\n'


async def test_the_cluster_is_called_what_it_was_called_last(channel: ChannelClient, pages: httpx.AsyncClient) -> None:
    async with api_of(channel.world.broker) as api:
        await api.put("cluster-name", json={"name": "of today"})
    assert 'rabbitmq_cluster="of today"' in (await pages.get("/metrics")).text


async def test_it_can_be_zipped(pages: httpx.AsyncClient) -> None:
    zipped = await pages.get("/metrics", headers={"accept-encoding": "gzip"})
    plain = await pages.get("/metrics", headers={"accept-encoding": "identity"})
    assert (zipped.headers["content-encoding"], "content-encoding" in plain.headers) == ("gzip", False)
    assert "# TYPE rabbitmq_connections gauge" in zipped.text
    assert len(zipped.text.splitlines()) == len(plain.text.splitlines())


async def test_a_pattern_that_takes_too_long_is_told(channel: ChannelClient, pages: httpx.AsyncClient) -> None:
    for number in range(10):
        channel.queue("a" * 40 + str(number))
    started = time.process_time()
    answer = await pages.get("/metrics/detailed", params={"family": "queue_coarse_metrics", "queue": "((a|aa)+)+!?x"})
    assert (answer.status_code, answer.text) == (400, "queue is a regular expression that takes too long")
    assert time.process_time() - started < 0.3
    many = await pages.get("/metrics/detailed", params={"queue": ["a"] * (MAX_PATTERNS + 1)})
    assert many.status_code == 400


async def test_what_ends_while_it_is_counted_is_counted_once(channel: ChannelClient) -> None:
    broker = channel.world.broker
    for name in (channel.queue("a"), channel.queue("b")):
        channel.publish_all(name, b"1")
        channel.get(name)
    vhost = broker.vhosts["/"]
    counted: list[Totals] = []

    def counting() -> Iterator[None]:
        counted.append((yield from Totals.counted(broker)))

    steps = counting()
    next(steps)
    for name in ("a", "b"):
        vhost.delete_queue(vhost.queues[name])
    channel.client.drop()
    assert list(steps)
    assert counted[0].past.queues[QueueType.CLASSIC].get_no_ack == 2
    assert counted[0].past.messages.publish == 2


async def test_every_page_says_what_runs(pages: httpx.AsyncClient) -> None:
    for page in ("/metrics", "/metrics/per-object", "/metrics/detailed", "/metrics/memory-breakdown"):
        found = await read(pages, page)
        assert len(found["rabbitmq_identity_info"]) == len(found["rabbitmq_build_info"]) == 1


async def test_messages_of_durable_queues_count_as_persistent(channel: ChannelClient, pages: httpx.AsyncClient) -> None:
    channel.publish_all(channel.queue("kept", durable=True), b"12")
    channel.publish_all(channel.queue("not"), b"345")
    found = await read(pages, "/metrics")
    assert found["rabbitmq_queue_messages_persistent"] == {"": 1}
    assert found["rabbitmq_queue_messages_persistent_bytes"] == {"": 2}
    each = (await read(pages, "/metrics/per-object"))["rabbitmq_queue_messages_persistent_bytes"]
    assert each == {'vhost="/",queue="kept"': 2, 'vhost="/",queue="not"': 0}
