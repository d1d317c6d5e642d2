"""The script rabbitmqadmin against a broker; `interop/test_rabbitmqadmin.py` runs it as its users do."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from amqp_broker.embedding import run_in_thread
from amqp_broker.management import rabbitmqadmin

Run = Callable[..., str]


@pytest.fixture(scope="module")
def place() -> Iterator[str]:
    with run_in_thread() as broker:
        assert broker.management_url is not None
        yield urlsplit(broker.management_url).netloc.rpartition("@")[2]


@pytest.fixture
def run(place: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Run the script; gives what it writes."""
    monkeypatch.setenv("HOME", str(tmp_path))
    host, _, port = place.partition(":")

    def run(*words: str, status: int = 0) -> str:
        assert rabbitmqadmin.main(["-H", host, "-P", port, *words]) == status
        captured = capsys.readouterr()
        return captured.err if status else captured.out

    return run


def test_lists_look_as_they_always_did(run: Run) -> None:
    assert run("declare", "queue", "name=a/b", 'arguments={"x-max-length": 5}') == "queue declared\n"
    run("declare", "queue", "name=c", "queue_type=quorum", "durable=true")
    assert run("list", "queues").splitlines() == [
        "+------+----------+",
        "| name | messages |",
        "+------+----------+",
        "| a/b  | 0        |",
        "| c    | 0        |",
        "+------+----------+",
    ]
    assert (
        run("-f", "tsv", "-S", "name", "-R", "list", "queues", "name", "type")
        == "name\ttype\nc\tquorum\na/b\tclassic\n"
    )
    assert run("-q", "-f", "tsv", "list", "queues", "arguments.x-max-length").split() == ["5"]
    assert run("-f", "kvp", "list", "queues", "name").splitlines() == ['name="a/b"', 'name="c"']
    assert run("-f", "bash", "list", "vhosts") == "/\n"
    assert "message_stats.publish_details.rate: 0.0" in run("-f", "long", "-d", "3", "list", "queues")
    assert json.loads(run("-f", "raw_json", "-V", "/", "list", "queues"))[0]["durable"] is True
    assert run("-V", "/", "list", "connections") == "No items\n"
    assert "4.2" in run("show", "overview")


def test_messages_and_bindings(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run("declare", "queue", "name=q")
    run("declare", "binding", "source=amq.topic", "destination=q", "routing_key=a.#")
    run("publish", "exchange=amq.topic", "routing_key=a.b", "payload=one", 'properties={"delivery_mode": 2}')
    monkeypatch.setattr("sys.stdin", io.StringIO("two"))
    assert run("publish", "routing_key=q") == "Message published\n"
    assert run("publish", "routing_key=nobody", "payload=x") == "Message published but NOT routed\n"
    assert "| a.b " in run("get", "queue=q", "count=2")
    run("get", "queue=q", "ackmode=ack_requeue_false", f"payload_file={tmp_path / 'payload'}")
    assert (tmp_path / "payload").read_bytes() == b"one"
    assert run("purge", "queue", "name=q") == "queue purged\n"
    assert run("get", "queue=q") == "No items\n"
    run("delete", "binding", "source=amq.topic", "destination_type=queue", "destination=q", "properties_key=a.%23")
    assert run("-q", "delete", "queue", "name=q") == ""


def test_definitions_go_to_a_file_and_back(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "definitions.json"
    run("declare", "vhost", "name=v")
    run("declare", "permission", "vhost=v", "user=guest", "configure=", "write=", "read=")
    assert "Exported" in run("export", str(path))
    assert "v" in {vhost["name"] for vhost in json.loads(path.read_text())["vhosts"]}
    assert "Uploaded" in run("import", str(path))
    run("delete", "vhost", "name=v")


def test_settings_come_from_a_file(place: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    host, _, port = place.partition(":")
    path = tmp_path / "hosts.conf"
    path.write_text(f"[here]\nhostname = {host}\nport = {port} # free\nvhost = nowhere\n")
    assert rabbitmqadmin.main(["-c", str(path), "-N", "here", "list", "queues"]) == 1
    assert capsys.readouterr().err == "*** Not found: /api/queues/nowhere?columns=name%2Cmessages\n"
    assert rabbitmqadmin.main(["-c", str(path), "-N", "here", "-V", "/", "list", "vhosts"]) == 0
    assert rabbitmqadmin.main(["-c", str(path), "-N", "there", "list", "vhosts"]) == 1
    assert rabbitmqadmin.main(["-U", f"http://{place}/", "list", "vhosts"]) == 0


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["purge", "queue", "name=nothing"], "*** Not found: "),
        (["-p", "wrong", "list", "queues"], "*** Access refused: "),
        (["declare", "queue", "name=amq.x"], "*** Access refused: "),
        (["declare", "policy", "name=p", "pattern=(", "definition={}"], "*** Validation failed"),
        (["declare", "exchange", "name=x"], 'mandatory argument "type" is required'),
        (["declare", "queue", "nam=x"], 'Argument "nam" is not recognised'),
        (["declare", "queue", "name=x", "arguments={"], "Could not parse JSON"),
        (["declare", "user", "name=x", "tags="], "password"),
        (["import", "/nowhere/at/all"], "*** "),
        (["list", "things"], "Don't know how to list things"),
        (["dance"], "Action dance not understood"),
        ([], "Action not specified"),
        (["-P", "1", "list", "queues"], "*** Could not connect: "),
    ],
)
def test_what_goes_wrong_is_told_in_a_sentence(run: Run, words: list[str], text: str) -> None:
    assert text in run(*words, status=1)


def test_help_needs_no_broker(run: Run) -> None:
    assert "  list queues [<column>...]" in run("help")
    assert "rabbitmqadmin.conf" in run("help", "config")
    assert "complete -F" in run("--bash-completion")
