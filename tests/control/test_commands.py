"""Commands that have no recording: switches, alarms, connections; and the table on both sides."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from amqp_broker.administration import users
from amqp_broker.broker import CLUSTER_ID
from amqp_broker.config import Config, HttpsPort, TlsOptions
from amqp_broker.control import commands
from amqp_broker.control.errors import ControlError
from amqp_broker.control.request import Request
from amqp_broker.ctl import local
from amqp_broker.ctl.commands import COMMANDS
from amqp_broker.inspection.node import Node
from amqp_broker.registry import GLOBAL
from amqp_broker.resources import Resources
from tests.support.certificates import Authority
from tests.support.client import Client, World


@pytest.fixture
def node(world: World) -> Node:
    return Node(world.broker, Resources(world.broker, memory_used=lambda: 10, memory_total=1000))


def lines(node: Node, name: str, *arguments: str, **options: object) -> list[object]:
    request = Request(arguments=arguments, options=options, columns=COMMANDS[name].columns)
    return list(commands.run(node, name, request))


def test_every_command_is_done_somewhere() -> None:
    done = {*commands.COMMANDS, *local.COMMANDS, "help"}
    said = {name for name, command in COMMANDS.items() if command.no_op or command.refusal}
    assert set(COMMANDS) - done - said == set()
    assert set(commands.COMMANDS) <= set(COMMANDS)


def test_alarms_fail_the_check(node: Node) -> None:
    assert lines(node, "check_local_alarms") == ["Node rabbit@localhost reported no local alarms"]
    node.broker.set_alarm("memory", True)
    with pytest.raises(ControlError) as caught:
        lines(node, "check_local_alarms")
    assert caught.value.status == 69
    assert "Memory alarm on node rabbit@localhost" in caught.value.text


def test_one_vhost_too_many_is_a_usage_error(node: Node) -> None:
    node.broker.max_vhosts = 1
    with pytest.raises(ControlError, match="cannot create vhost 'v': vhost limit of") as caught:
        lines(node, "add_vhost", "v")
    assert caught.value.status == 64


def test_limits_of_memory_and_disk_count_at_once(node: Node) -> None:
    lines(node, "set_vm_memory_high_watermark", "absolute", "5")
    assert list(node.broker.alarms) == ["memory"]
    lines(node, "set_vm_memory_high_watermark", "0.5")
    assert list(node.broker.alarms) == []
    lines(node, "set_disk_free_limit", "mem_relative", "2.0")
    assert node.resources.disk_free_limit_octets == 2000
    with pytest.raises(ControlError, match="expected a size"):
        lines(node, "set_disk_free_limit", "much")


def test_a_stopped_application_lets_nobody_in_and_fails_the_check(node: Node, client: Client) -> None:
    lines(node, "stop_app")
    assert node.broker.is_suspended
    assert not list(node.broker.open_clients())
    with pytest.raises(ControlError):
        lines(node, "check_running")
    lines(node, "start_app")
    assert lines(node, "check_running") == ["RabbitMQ on node rabbit@localhost is fully booted and running"]


@pytest.mark.parametrize("command", ["reset", "force_reset"])
def test_a_reset_makes_a_new_broker_of_one_that_is_stopped(node: Node, client: Client, command: str) -> None:
    broker = node.broker
    cluster_id = broker.registry.parameters[GLOBAL, "", CLUSTER_ID]
    broker.enable_event_exchange()
    client.channel().queue("q")
    definitions = (
        b'{"vhosts": [{"name": "v"}], "users": [{"name": "joe"}], "global_parameters": [{"name": "g", "value": 1}]}'
    )
    list(commands.run(node, "import_definitions", Request(content=definitions)))
    users.delete_user(broker, "guest")
    with pytest.raises(ControlError, match="still running") as caught:
        lines(node, command)
    assert caught.value.status == 70
    assert set(broker.vhosts) == {"/", "v"}
    lines(node, "stop_app")
    lines(node, command)
    lines(node, "start_app")
    assert [user.name for user in broker.users] == ["guest"]
    assert [*broker.vhosts] == ["/"]
    assert not broker.vhosts["/"].queues
    assert "amq.rabbitmq.event" in broker.vhosts["/"].exchanges
    assert list(broker.registry.parameters) == [(GLOBAL, "", CLUSTER_ID)]
    assert broker.registry.parameters[GLOBAL, "", CLUSTER_ID] != cluster_id


def test_a_connection_is_closed_by_its_pid(node: Node, client: Client) -> None:
    [row] = commands.run(node, "list_connections", Request(columns=("pid", "user", "state")))
    assert isinstance(row, dict)
    assert row["user"] == "guest"
    lines(node, "close_connection", row["pid"], "because")
    assert not list(node.broker.open_clients())
    with pytest.raises(ControlError, match="no connection <x>"):
        lines(node, "close_connection", "<x>", "because")


def test_connections_of_a_user_are_closed(node: Node, client: Client) -> None:
    assert lines(node, "close_all_user_connections", "nobody", "x") == ["Closed 0 connections"]
    assert lines(node, "close_all_user_connections", "guest", "x") == ["Closed 1 connections"]


def test_log_levels_are_checked(node: Node) -> None:
    with pytest.raises(ControlError, match="level loud is not supported"):
        lines(node, "set_log_level", "loud")


def test_what_is_shown_of_the_settings_has_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(Config(default_password="s3cret", cluster="nats://user:s3cret@nats1"))
    node = Node(world.broker, Resources(world.broker))
    monkeypatch.setenv("AMQP_BROKER_CLUSTER", "nats://user:s3/cret@nats1,nats2,other:s3@cret@nats3")
    monkeypatch.setenv("AMQP_BROKER_DEFAULT_PASS", "s3cret")
    for name in ("environment", "status", "report", "os_env"):
        shown = str(lines(node, name))
        assert "s3cret" not in shown
        assert "cret" not in shown
    assert "CLUSTER=nats://********@nats3" in shown


def test_definitions_go_out_and_come_in(node: Node) -> None:
    [text] = lines(node, "export_definitions")
    definitions = json.loads(str(text))
    assert [vhost["name"] for vhost in definitions["vhosts"]] == ["/"]
    definitions["vhosts"].append({"name": "v"})
    list(commands.run(node, "import_definitions", Request(content=json.dumps(definitions).encode())))
    assert "v" in node.broker.vhosts
    for content in (b'{"vhosts": 5}', b'{"vhosts": [', b"\xff"):
        with pytest.raises(ControlError) as caught:
            list(commands.run(node, "import_definitions", Request(content=content)))
        assert caught.value.status == 65


def test_definitions_that_were_imported_before_are_skipped_when_asked(node: Node) -> None:
    content = b'{"vhosts": [{"name": "v"}]}'

    def is_imported(**options: object) -> bool:
        node.broker.vhosts.pop("v", None)
        list(commands.run(node, "import_definitions", Request(content=content, options=options)))
        return "v" in node.broker.vhosts

    skipping = {"skip-if-unchanged": True}
    assert is_imported(**skipping)
    assert not is_imported(**skipping)
    assert is_imported()
    content += b" "
    assert is_imported(**skipping)
    assert "internal_definitions_checksum" not in str(lines(node, "export_definitions"))


def test_unknown_command(node: Node) -> None:
    with pytest.raises(ControlError, match="knows no command x"):
        list(commands.run(node, "x", Request()))


def test_a_report_in_an_unknown_unit_is_refused(node: Node) -> None:
    assert any("MB" in str(line).upper() for line in lines(node, "memory_breakdown", unit="MB"))
    with pytest.raises(ControlError, match="unit 'acre' is not supported"):
        lines(node, "memory_breakdown", unit="acre")


def test_published_messages_are_counted_by_size(node: Node, client: Client) -> None:
    channel = client.channel()
    channel.publish("nowhere", b"x" * 50)
    channel.publish("nowhere", b"x" * 500)
    channel.publish("nowhere", b"x" * 600)
    rows = lines(node, "message_size_stats")
    assert rows[:2] == [
        {"message_size": "up to 100", "count": 1, "percentage": 33.33},
        {"message_size": "up to 1000", "count": 2, "percentage": 66.67},
    ]
    client.close()
    assert lines(node, "message_size_stats") == rows


def test_certificates_that_expire_soon_fail_the_check(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    of_http = TlsOptions(certificates=(authority.server(name="management"),))
    of_nodes = TlsOptions(certificates=(authority.server(name="node"),))
    https = HttpsPort(tls=of_http, port=0)
    world = World(Config(tls=authority.options(), management_tls=https, cluster_tls=of_nodes))
    node = Node(world.broker, Resources(world.broker))
    shown = [str(line) for line in lines(node, "certificates")]
    assert shown[0] == f"Certificate: {tmp_path / 'server.pem'}"
    assert f"CA: {tmp_path / 'ca.pem'}" in shown
    assert f"Certificate: {tmp_path / 'management.pem'}" in shown
    assert f"Certificate: {tmp_path / 'node.pem'}" in shown
    assert lines(node, "check_certificate_expiration") == ["No certificates are expiring within 4 weeks."]
    with pytest.raises(ControlError, match=r"server\.pem: .* expires 2\d\d\d|server\.pem: .* expires \w"):
        lines(node, "check_certificate_expiration", within="90000", unit="weeks")
    with pytest.raises(ControlError, match="expected a whole number of days"):
        lines(node, "check_certificate_expiration", within="soon")
    (tmp_path / "server.pem").write_text("no certificate")
    with pytest.raises(ControlError, match="can't read"):
        lines(node, "certificates")


def test_a_drained_node_lets_nobody_in_until_it_is_revived(node: Node, client: Client) -> None:
    lines(node, "drain")
    assert not list(node.broker.open_clients())
    assert "Is under maintenance?: true" in lines(node, "status")
    lines(node, "revive")
    assert "Is under maintenance?: false" in lines(node, "status")
