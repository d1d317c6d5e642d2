"""The same calls of the management API, here and on a real RabbitMQ: statuses, errors, names of fields, types.

`interop/management_expected.py` has the table of what differs on purpose. Rates and counts are not compared, for a
RabbitMQ looks at its own every few seconds only.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from typing import Any, Final

import attrs
import httpx
import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel

from interop.management_calls import DECLARED, ENDED, READ, USED, USERS, Asked
from interop.management_expected import DIFFERENCES
from interop.own_broker import started_broker
from interop.processes import DEADLINE_S
from interop.rabbitmq import MANAGEMENT, RabbitMQUnavailableError, running_node
from tests.management.shapes import differences, shape_of

LOOK_AGAIN_S: Final = 0.2


@attrs.frozen
class Answer:
    """What came of a call; the names of nodes are replaced by the same one."""

    call: str
    status: int
    body: Any

    @classmethod
    def of(cls, call: Asked, response: httpx.Response, node: str) -> Answer:
        text = response.text.replace(node, "NODE")
        return cls(str(call), response.status_code, json.loads(text) if text else None)


@contextlib.contextmanager
def in_use(url: str) -> Iterator[BlockingChannel]:
    """A client with consumers, confirms, and messages in queues of all types."""
    parameters = pika.URLParameters(url)
    parameters.virtual_host = "v1"
    with pika.BlockingConnection(parameters) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.basic_qos(prefetch_count=10)
        for name in ("used", "filled"):
            channel.queue_declare(name, durable=True)
        channel.basic_consume("used", lambda *_: None, consumer_tag="one")
        channel.basic_consume("used", lambda *_: None, consumer_tag="two", auto_ack=True)
        properties = pika.BasicProperties(delivery_mode=2, headers={"a": 1})
        for exchange, key in (
            ("x", "a.b"),
            ("", "used"),
            ("", "filled"),
            ("", "quorum"),
            ("", "stream"),
            ("x", "lost"),
        ):
            channel.basic_publish(exchange, key, b"message", properties)
        channel.basic_get("q", auto_ack=False)
        yield channel


def ask(api: httpx.Client, call: Asked) -> httpx.Response:
    return api.request(call.method, call.path, json=call.body, auth=(call.user, USERS[call.user]))


def wait_for_figures(api: httpx.Client) -> None:
    """Until a RabbitMQ has looked at its own: queues that are idle, the new ones as well, and a channel in use."""
    ends = time.monotonic() + DEADLINE_S

    def is_known() -> bool:
        guest = ("guest", "guest")
        queues = api.get("queues/v1", auth=guest).json()
        quorum = api.get("queues/v1/quorum", auth=guest).json()
        connections, channels = (api.get(kind, auth=guest).json() for kind in ("connections", "channels"))
        return (
            all(
                "messages" in queue and ("message_stats" in queue or queue["name"] not in ("q", "used", "filled"))
                for queue in queues
            )
            and quorum["effective_policy_definition"]
            and any("channels" in connection for connection in connections)
            and any(channel.get("message_stats", {}).get("publish") for channel in channels)
        )

    while not is_known():
        assert time.monotonic() < ends
        time.sleep(LOOK_AGAIN_S)


def answers_of(amqp_url: str, management_url: str) -> list[Answer]:
    base_url = f"{management_url.replace('guest:guest@', '')}/api/"
    # A RabbitMQ closes connections after refusals, and a request that is on its way then is lost.
    with httpx.Client(base_url=base_url, timeout=DEADLINE_S, headers={"connection": "close"}) as api:
        node = str(api.get("overview", auth=("guest", "guest")).json()["node"])
        answers = [Answer.of(call, ask(api, call), node) for call in DECLARED]
        with in_use(amqp_url):
            wait_for_figures(api)
            answers += [Answer.of(call, ask(api, call), node) for call in (*READ, *USED)]
        answers += [Answer.of(call, ask(api, call), node) for call in ENDED]
    return answers


def found_in(ours: Answer, theirs: Answer) -> Iterator[str]:
    if ours.status != theirs.status:
        yield f"status {ours.status}, {theirs.status}"
    elif theirs.status >= 400:
        if ours.body != theirs.body:
            yield f"error: {json.dumps(ours.body)}, {json.dumps(theirs.body)}"
    else:
        yield from differences(shape_of(ours.body), shape_of(theirs.body))


def test_answers_are_those_of_a_rabbitmq() -> None:
    with contextlib.ExitStack() as stack:
        try:
            rabbitmq = stack.enter_context(running_node(plugins=[MANAGEMENT]))
        except RabbitMQUnavailableError as error:
            pytest.skip(str(error))
        own = stack.enter_context(started_broker("--memory"))
        theirs = answers_of(rabbitmq.url, rabbitmq.management_url)
        ours = answers_of(own.url, own.management_url)
        own.stop()
    found = [
        (our.call, difference) for our, their in zip(ours, theirs, strict=True) for difference in found_in(our, their)
    ]
    unexpected = [each for each in found if not any(difference.is_about(*each) for difference in DIFFERENCES)]
    assert not unexpected, "\n".join(": ".join(each) for each in unexpected)
    gone = [difference for difference in DIFFERENCES if not any(difference.is_about(*each) for each in found)]
    assert not gone, "no longer needed"
