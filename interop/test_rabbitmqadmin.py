"""rabbitmqadmin, the Python script of RabbitMQ 3 and 4.0 to 4.2, unmodified: each of its sub-commands.

And our own of that name, fetched from the broker: the same sub-commands with the same results.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import pika
import pytest

SCRIPT = os.environ.get("RABBITMQADMIN") or shutil.which("rabbitmqadmin")
DEADLINE_S = 30.0
VHOST = "admin/v1"

without_script = pytest.mark.skipif(
    SCRIPT is None or b"python" not in Path(SCRIPT).read_bytes()[:80],
    reason="no rabbitmqadmin in Python: install Debian's package rabbitmq-server, or name a script in RABBITMQADMIN",
)

LISTS = (
    "bindings",
    "channels",
    "connections",
    "consumers",
    "exchanges",
    "nodes",
    "operator_policies",
    "parameters",
    "permissions",
    "policies",
    "queues",
    "users",
    "vhost_limits",
    "vhosts",
)

DECLARATIONS = (
    ("permission", f"vhost={VHOST}", "user=guest", "configure=.*", "write=.*", "read=.*"),
    ("user", "name=ann", "password=secret", "tags=management,policymaker"),
    ("user", "name=bob", "password_hash=", "tags="),
    ("permission", f"vhost={VHOST}", "user=ann", "configure=^a", "write=", "read=.*"),
    ("exchange", "name=x", "type=topic", "auto_delete=false"),
    ("exchange", "name=in/side", "type=headers", "internal=true", 'arguments={"alternate-exchange": "x"}'),
    ("queue", "name=q", 'arguments={"x-max-length": 5}'),
    ("queue", "name=big", "queue_type=quorum"),
    ("queue", "name=log", "queue_type=stream", "durable=true"),
    ("binding", "source=x", "destination=q", "routing_key=a.#"),
    ("binding", "source=x", "destination_type=exchange", "destination=in/side", 'arguments={"n": 1}'),
    ("parameter", "component=federation-upstream", "name=up", 'value={"uri": "amqp://elsewhere"}'),
    ("policy", "name=p", "pattern=^q", 'definition={"max-length": 3}', "priority=7", "apply-to=queues"),
    ("operator_policy", "name=o", "pattern=.*", 'definition={"max-length": 9}', "priority=1", "apply-to=queues"),
    ("vhost_limit", f"vhost={VHOST}", "name=max-queues", "value=100"),
)

DELETIONS = (
    ("binding", "source=x", "destination_type=queue", "destination=q", "properties_key=a.%23"),
    ("exchange", "name=in/side"),
    ("queue", "name=log"),
    ("parameter", "component=federation-upstream", "name=up"),
    ("policy", "name=p"),
    ("operator_policy", "name=o"),
    ("vhost_limit", f"vhost={VHOST}", "name=max-queues"),
    ("permission", f"vhost={VHOST}", "user=ann"),
    ("user", "name=ann"),
    ("user", "name=bob"),
)


class Admin(Protocol):
    def __call__(self, *words: str, stdin: str = "", vhost: str = VHOST, fails: bool = False) -> str:
        """Run the script; gives what it writes. Its status is checked."""


@pytest.fixture(
    scope="module", params=[pytest.param("rabbitmq", marks=without_script), pytest.param("own", marks=pytest.mark.long)]
)
def script(request: pytest.FixtureRequest, management_url: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The path of what is run."""
    if request.param == "rabbitmq":
        return str(SCRIPT)
    parts = urlsplit(management_url)
    path = tmp_path_factory.mktemp("script") / "rabbitmqadmin"
    with urllib.request.urlopen(
        f"http://{parts.hostname}:{parts.port}/cli/rabbitmqadmin", timeout=DEADLINE_S
    ) as answer:
        path.write_bytes(answer.read())
    path.chmod(0o755)
    return str(path)


@pytest.fixture(scope="module")
def admin(script: str, management_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Admin]:
    """The script, in a vhost of its own with one of everything."""
    parts = urlsplit(management_url)
    home = tmp_path_factory.mktemp("home")
    options = ["-H", str(parts.hostname), "-P", str(parts.port), "-u", str(parts.username), "-p", str(parts.password)]

    def run(*words: str, stdin: str = "", vhost: str = VHOST, fails: bool = False) -> str:
        within = ["-V", vhost] if vhost else []
        done = subprocess.run(
            [script, *options, *within, *words],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            env=os.environ | {"HOME": str(home), "PYTHONWARNINGS": "ignore"},
        )
        assert (done.returncode != 0) == fails, done.stderr
        assert "Traceback" not in done.stderr, done.stderr
        return done.stderr if fails else done.stdout

    def forget() -> None:
        for kind, name in (("vhost", VHOST), ("user", "ann"), ("user", "bob")):
            if json.loads(run("-f", "raw_json", "list", f"{kind}s", "name", vhost="")).count({"name": name}):
                run("delete", kind, f"name={name}", vhost="")

    forget()
    assert run("declare", "vhost", f"name={VHOST}", "tracing=false", vhost="") == "vhost declared\n"
    for kind, *words in DECLARATIONS:
        assert run("declare", kind, *words) == f"{kind} declared\n"
    yield run
    forget()


def listed(admin: Admin, kind: str, name: str) -> str:
    """A list, once it has something of that name. RabbitMQ counts what is connected every now and then."""
    ends_at = time.monotonic() + DEADLINE_S
    while True:
        shown = admin("list", kind)
        if (shown != "No items\n" and name in shown) or time.monotonic() > ends_at:
            return shown


@pytest.mark.parametrize("kind", LISTS)
def test_everything_is_listed(admin: Admin, kind: str, broker_url: str) -> None:
    parameters = pika.URLParameters(broker_url)
    parameters.virtual_host = VHOST
    with pika.BlockingConnection(parameters) as connection:
        channel = connection.channel()
        queue = channel.queue_declare("", exclusive=True).method.queue
        assert queue is not None
        channel.basic_consume(queue, lambda *_: None)
        assert listed(admin, kind, "").startswith("+-")
        assert admin("-f", "long", "-d", "3", "list", kind).count(": ") > 1


@pytest.mark.parametrize("form", ["tsv", "long", "kvp", "bash", "pretty_json"])
def test_lists_have_many_forms_and_an_order(admin: Admin, form: str) -> None:
    shown = admin("-f", form, "-q", "-S", "name", "-R", "list", "queues", "name", "type")
    assert re.findall(r"\b(?:big|log|q)\b", shown) == ["q", "log", "big"]


def test_what_was_declared_is_there(admin: Admin) -> None:
    assert admin("declare", "queue", "name=big", "queue_type=quorum") == "queue declared\n"  # once more: the same
    queues = {queue["name"]: queue for queue in json.loads(admin("-f", "raw_json", "list", "queues"))}
    assert {name: queue["type"] for name, queue in queues.items()} == {"q": "classic", "big": "quorum", "log": "stream"}
    assert queues["q"]["durable"] is True
    assert queues["q"]["arguments"]["x-max-length"] == 5
    assert "| x " in admin("list", "exchanges", "name", "type")
    bindings = admin("-f", "tsv", "-q", "list", "bindings", "source", "destination", "routing_key").splitlines()
    assert "x\tq\ta.#" in bindings
    assert "x\tin/side\t" in bindings
    assert "max-length" in admin("list", "policies")
    assert "rabbitmq_version" in admin("show", "overview")
    assert re.search(r"max-queues.*100", admin("list", "vhost_limits"))


def test_a_message_is_published_fetched_and_purged(admin: Admin, tmp_path: Path) -> None:
    words = ("publish", "exchange=x", "routing_key=a.b", "payload=one", 'properties={"delivery_mode": 2}')
    assert admin(*words) == "Message published\n"
    assert admin("publish", "routing_key=q", stdin="two\n") == "Message published\n"
    assert admin("publish", "routing_key=nobody", "payload=x") == "Message published but NOT routed\n"
    messages = json.loads(admin("-f", "raw_json", "get", "queue=q", "count=5"))
    assert [(message["routing_key"], message["message_count"]) for message in messages] == [("a.b", 1), ("q", 0)]
    path = tmp_path / "payload"
    got = admin("get", "queue=q", "ackmode=ack_requeue_false", f"payload_file={path}")
    assert "a.b" in got
    assert path.read_text() == "one"
    assert admin("purge", "queue", "name=q") == "queue purged\n"
    assert admin("get", "queue=q") == "No items\n"


def test_definitions_are_exported_and_imported(admin: Admin, tmp_path: Path) -> None:
    path = tmp_path / "definitions.json"
    assert "Exported" in admin("export", str(path))
    assert {queue["name"] for queue in json.loads(path.read_text())["queues"]} == {"q", "big", "log"}
    assert "Uploaded" in admin("import", str(path))
    assert "Exported" in admin("export", str(path), vhost="")
    assert VHOST in {vhost["name"] for vhost in json.loads(path.read_text())["vhosts"]}
    path.write_text("{")
    assert admin("import", str(path), fails=True)


def test_a_connection_is_closed(admin: Admin, broker_url: str) -> None:
    parameters = pika.URLParameters(broker_url)
    connection = pika.BlockingConnection(parameters)
    name = f"127.0.0.1:{connection._impl._transport._sock.getsockname()[1]} -> 127.0.0.1:{parameters.port}"
    listed(admin, "connections", name)
    assert admin("close", "connection", f"name={name}") == "connection closed\n"
    with pytest.raises(pika.exceptions.ConnectionClosedByBroker, match="CONNECTION_FORCED"):
        connection.process_data_events(DEADLINE_S)


def test_what_goes_wrong_is_told(admin: Admin) -> None:
    assert "Not found" in admin("purge", "queue", "name=nothing", fails=True)
    assert "inequivalent arg" in admin("declare", "queue", "name=q", "auto_delete=true", fails=True)
    assert "Access refused" in admin("-p", "wrong", "list", "queues", fails=True)
    assert "mandatory argument" in admin("declare", "exchange", "name=x", fails=True)


def test_what_needs_no_broker(admin: Admin) -> None:
    assert "list queues" in admin("help", "subcommands")
    assert "rabbitmqadmin.conf" in admin("help", "config")
    assert "complete -F" in admin("--bash-completion")
    assert admin("--version").startswith("rabbitmqadmin")


def test_everything_is_deleted_again(admin: Admin) -> None:
    """The last test here: what the others look at goes."""
    for kind, *words in DELETIONS:
        assert admin("delete", kind, *words) == f"{kind} deleted\n"
    assert "Not found" in admin("delete", "queue", "name=log", fails=True)
