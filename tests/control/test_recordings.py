"""What amqp-brokerctl prints, beside what a real RabbitMQ 4.3.6's rabbitmqctl printed for the same things.

`tests/data/rabbitmqctl-4.3.6/` has the recordings, in the order they were made: later ones see what earlier ones did.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from amqp_broker.administration import parameters, permissions, users, vhosts
from amqp_broker.config import Config
from amqp_broker.control.commands import run
from amqp_broker.control.errors import ControlError
from amqp_broker.control.request import Request
from amqp_broker.ctl import asking, main
from amqp_broker.inspection.node import ListeningPort, Node
from amqp_broker.resources import Resources
from amqp_codec import Int64, Table
from tests.support.client import World

RECORDINGS = Path(__file__).parents[1] / "data" / "rabbitmqctl-4.3.6"

NOT_HERE = ("qs\t", "qs", '"name":"qs"', "amq.rabbitmq.log\t", "\texchange\tqs\t")
"""Rows of what this broker has not got: a stream, the log's exchange."""

ARGUMENTS: dict[str, Table] = {
    "qq": {"x-queue-type": b"quorum", "x-delivery-limit": Int64(5)},
    "q1": {"x-dead-letter-exchange": b"x1", "x-max-length": Int64(1000), "x-message-ttl": Int64(600000)},
    "a/b c": {},
    "qnd": {},
    "qp": {"x-max-priority": Int64(5)},
}
EXCHANGES = {"x1": "topic", "x3": "direct", "xf": "fanout", "xh": "headers"}
MESSAGES = {"qq": 5, "q1": 20}


@pytest.fixture
def node() -> Node:
    """The node of the recordings, as far as it can be here."""
    world = World(Config(version="4.3.6", cluster_name="r5@vm", node_name="r5@localhost"))
    broker = world.broker
    vhosts.add_vhost(broker, "v1", description="")
    for user, tags in (("hashed", ["management", "custom"]), ("mgr", ["management"]), ("mon", ["monitoring"])):
        users.add_user(broker, user, "throw away", tags)
    permissions.set_permissions(broker, "mgr", "/", ".*", ".*", ".*")
    permissions.set_permissions(broker, "mon", "/", "", "", ".*")
    permissions.set_permissions(broker, "guest", "v1", ".*", ".*", ".*")
    permissions.set_permissions(broker, "mgr", "v1", "^x", ".*", ".*")
    parameters.set_policy(
        broker, "/", "p1", "^q1$", {"max-length": 500, "message-ttl": 1000000}, priority=3, apply_to="queues"
    )
    uri = "amqp://127.0.0.1:5677/"
    parameters.set_parameter(broker, "v1", "federation-upstream", "u1", {"uri": f"{uri}%2F"})
    shovel = {"src-protocol": "amqp091", "src-queue": "ss", "src-uri": f"{uri}v1"}
    shovel |= {"dest-protocol": "amqp091", "dest-queue": "sd", "dest-uri": f"{uri}v1"}
    parameters.set_parameter(broker, "v1", "shovel", "s1", dict(shovel))
    vhost = broker.vhosts["/"]
    for name, type_ in EXCHANGES.items():
        vhost.declare_exchange(
            name, type_, durable=True, auto_delete=False, internal=False, arguments={}, authorize=_allow
        )
    for name, arguments in ARGUMENTS.items():
        vhost.declare_queue(
            name,
            durable=name != "qnd",
            exclusive_owner=None,
            auto_delete=False,
            arguments=arguments,
            connection=None,
            authorize=_allow,
        )
    vhost.bind(vhost.exchanges["amq.fanout"], vhost.queues["qp"], "", {})
    arguments = {"k": Int64(1), "s": b"t", "x-match": b"any"}
    vhost.bind(vhost.exchanges["xh"], vhost.queues["qq"], "", arguments)
    vhost.bind(vhost.exchanges["x1"], vhost.exchanges["xh"], "to.~x", {})
    channel = world.client().channel()
    for name, count in MESSAGES.items():
        for _ in range(count):
            channel.publish(name, b"x")
    listeners = [
        ListeningPort("http/prometheus", "::", 15697),
        ListeningPort("http", "::", 15677),
        ListeningPort("clustering", "::", 25677),
        ListeningPort("amqp", "127.0.0.1", 5677, "AMQP 0-9-1 and AMQP 1.0"),
    ]
    return Node(broker, Resources(broker), listeners)


def _allow(*_: object) -> None:
    """Everything is allowed."""


class Wire:
    """In place of the socket: requests and answers pass through JSON, and a call away is the broker."""

    def __init__(self, node: Node) -> None:
        self.node = node

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def ask(self, _connection: object, asked: dict[str, Any]) -> Iterator[dict[str, Any] | str]:
        fields = json.loads(json.dumps(asked))
        name = fields.pop("command")
        try:
            for answer in run(self.node, name, Request(**fields)):
                yield json.loads(json.dumps(answer))
        except ControlError as error:
            raise asking.FailedError(error.status, error.text) from None


def sections(recording: str) -> tuple[str, str, str, int]:
    """The command line, standard output, standard error and exit status of a recording."""
    head, rest = recording.split("\n--- stdout\n")
    output, rest = rest.split("--- stderr\n")
    errors, status = rest.rsplit("--- exit ", 1)
    return head.removeprefix("$ "), output, errors, int(status)


def comparable(text: str) -> list[str]:
    """Lines without what is not here; the order of rows and of JSON's fields is nobody's promise."""
    lines = [line for line in text.rstrip("\n").split("\n") if not line.startswith(NOT_HERE) and "qs" not in line]
    return sorted(_normal(line) for line in lines)


def _normal(line: str) -> str:
    if line.lstrip(",").startswith("{"):
        return json.dumps(json.loads(line.lstrip(",")), sort_keys=True)
    return line


def test_the_output_is_that_of_the_recordings(
    node: Node, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wire = Wire(node)
    monkeypatch.setattr(asking, "connect", lambda *_: wire)
    monkeypatch.setattr(asking, "ask", wire.ask)
    differences: dict[str, tuple[object, object]] = {}
    for path in sorted(RECORDINGS.glob("*.txt")):
        command_line, output, errors, status = sections(path.read_text("utf-8"))
        program, *words = command_line.split(" ")  # no recorded word has a space
        monkeypatch.setattr("sys.argv", [program])
        got = main.main(["-n", "r5@localhost", *words])
        captured = capsys.readouterr()
        expected = (comparable(output), errors.strip("\n").split("\n"), status)
        found = (comparable(captured.out), captured.err.strip("\n").split("\n"), got)
        if found != expected:
            differences[f"{path.stem}: {command_line}"] = (expected, found)
    assert differences == {}


ONLY_THERE = {
    "RabbitMQ release series support status",
    "Erlang configuration",
    "Erlang processes",
    "Scheduler run queue",
    "Cluster heartbeat timeout (net_ticktime)",
    "Raft data directory",
}
"""Lines of a report that speak of Erlang."""


def labels(text: str) -> set[str]:
    """Titles of sections, and what stands before the colons; not the listed things, which differ."""
    lines = [line for line in text.splitlines() if line and not line.startswith((" *", "Interface:", "Node: "))]
    return {line.partition(":")[0] for line in lines if "@" not in line.partition(":")[0]} - ONLY_THERE


@pytest.mark.parametrize("name", ["053", "054", "072"])
def test_a_report_has_the_sections_and_labels_of_the_recording(node: Node, name: str) -> None:
    command_line, output, _, _ = sections((RECORDINGS / "reports" / f"{name}.txt").read_text("utf-8"))
    answers = run(node, command_line.split()[1], Request())
    banner, _, expected = output.partition("\n")
    assert banner.endswith("...")
    assert labels("\n".join(map(str, answers))) - {"Runtime"} == labels(expected) - {"Runtime"}


def test_the_state_as_json_has_the_fields_of_the_recording(node: Node) -> None:
    _, output, _, _ = sections((RECORDINGS / "reports" / "055.txt").read_text("utf-8"))
    expected = json.loads(output)
    [record] = run(node, "status", Request(options={"formatter": "json"}))
    assert isinstance(record, dict)
    assert record.keys() - {"amqp_broker_version"} == expected.keys()
    assert record["totals"].keys() == expected["totals"].keys()
    assert record["memory"].keys() == expected["memory"].keys()
