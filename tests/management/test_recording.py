"""The calls that a real RabbitMQ 4.3.6 was asked, asked here again: the same statuses, fields, types and errors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import attrs
import httpx

from amqp_broker.auth.users import Peer
from amqp_broker.config import Config
from amqp_broker.inspection.node import ListeningPort
from amqp_broker.management.sampling import sample
from amqp_broker.management.statistics import Statistics
from amqp_codec import BasicQos, BasicQosOk, ConfirmSelect, ConfirmSelectOk, Properties, Table
from tests.management.deviations import DEVIATIONS, rendered
from tests.management.shapes import differences, shape_of
from tests.management.support import api_of, node_of
from tests.support.client import CAPABILITIES, ChannelClient, Client, World

RECORDING: Final = Path(__file__).parent.parent / "data" / "management" / "rabbitmq-4.3.6.json"
PAGE: Final = Path(__file__).parent.parent.parent / "docs" / "http-deviations.md"

FIRST_READ: Final = "048-get-overview"
"""Before this call clients had connected and sent messages."""

PORT: Final = 5677
PASSWORDS: Final = {"guest": "guest", "164": "wrong"}
COMPARED_HEADERS: Final = ("allow", "content-type", "location", "www-authenticate")


@attrs.frozen
class Recorded:
    name: str
    method: str
    path: str
    user: str | None
    sent: Any
    status: int
    headers: dict[str, str]
    body: Any


CALLS: Final = [Recorded(**call) for call in json.loads(RECORDING.read_text())]


def connect(world: World, port: int, vhost: str, name: str) -> ChannelClient:
    client = Client(world, peer=Peer("127.0.0.1", port, own_address="127.0.0.1", own_port=PORT))
    properties: Table = {"capabilities": CAPABILITIES, "connection_name": name.encode(), "product": b"golden"}
    client.open(vhost=vhost, properties=properties)
    return client.channel()


def use(world: World) -> list[ChannelClient]:
    """Do what was done over AMQP: two clients, and a shovel with its two."""
    publisher, consumer = connect(world, 46896, "/", "golden"), connect(world, 46930, "/", "golden")
    publisher.call(ConfirmSelect(), ConfirmSelectOk)
    publisher.call(BasicQos(prefetch_count=7), BasicQosOk)
    for number in range(20):
        headers = {"n": number, "t": {"u": [1, b"x"]}}
        properties = Properties(
            content_type="text/plain",
            delivery_mode=2,
            message_id=str(number),
            timestamp=1_700_000_000,
            headers=headers,  # type: ignore[arg-type]
        )
        publisher.publish("q1", f"m{number}".encode(), properties=properties)
    for _ in range(5):
        publisher.publish("qq", b"123456789")
    publisher.publish("qs", b"1")
    publisher.client.pump()
    publisher.client.inbox.clear()
    publisher.get("q1", no_ack=False)
    consumer.call(BasicQos(prefetch_count=3), BasicQosOk)
    consumer.consume("qp", "ctag-qp", no_ack=True, exclusive=True, arguments={"x-priority": 2})
    consumer.consume("qq", "ctag-qq")
    source, target = connect(world, 46900, "v1", "Shovel s1"), connect(world, 46914, "v1", "Shovel s1")
    source.queue("ss", durable=True)
    target.queue("sd", durable=True)
    source.call(BasicQos(prefetch_count=1000), BasicQosOk)
    source.consume("ss", "shovel")
    return [publisher, consumer, source, target]


def found_in(answer: httpx.Response, call: Recorded) -> list[str]:
    """All in which an answer differs from what was recorded."""
    found = []
    if answer.status_code != call.status:
        return [f"status {answer.status_code}, {call.status}"]
    for name in COMPARED_HEADERS:
        ours, theirs = answer.headers.get(name), call.headers.get(name)
        if ours != theirs:
            found.append(f"{name}: {ours}, {theirs}")
    if call.method == "HEAD" or call.body is None:
        return found
    if answer.status_code >= 400:
        return found if answer.json() == call.body else [*found, f"error: {answer.json()}, {call.body}"]
    return [*found, *differences(shape_of(answer.json()), shape_of(call.body))]


async def ask(api: httpx.AsyncClient, call: Recorded) -> httpx.Response:
    content = call.sent if call.sent is None or isinstance(call.sent, str) else json.dumps(call.sent)
    request = api.build_request(call.method, call.path.removeprefix("/api/"), content=content)
    if call.user is None:
        return await api.send(request)
    password = PASSWORDS.get(call.name[:3], PASSWORDS.get(call.user, "pw"))
    return await api.send(request, auth=(call.user, password))


async def test_the_recording_comes_out_again() -> None:
    world = World(Config(node_name="r5@localhost"))
    statistics = Statistics(world.broker.timers.now)
    ports = [ListeningPort("amqp", "127.0.0.1", PORT), ListeningPort("http", "127.0.0.1", 15677)]
    node = node_of(world.broker, *ports)
    clients: list[ChannelClient] = []
    found: list[tuple[str, str]] = []
    async with api_of(world.broker, None, node, statistics) as api:
        for call in CALLS:
            if call.name == FIRST_READ:
                clients = use(world)
                for _ in sample(node, statistics):
                    pass
            found += ((call.name, difference) for difference in found_in(await ask(api, call), call))
    assert len(clients) == 4
    unexpected = [each for each in found if not any(deviation.is_about(*each) for deviation in DEVIATIONS)]
    assert not unexpected, "\n".join(": ".join(each) for each in unexpected)
    gone = [deviation for deviation in DEVIATIONS if not any(deviation.is_about(*each) for each in found)]
    assert not gone, "no longer needed"


def test_the_page_says_so_too() -> None:
    assert PAGE.read_text() == rendered()
