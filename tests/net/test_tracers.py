"""Traces into files, begun and fetched over the HTTP API of a broker that runs."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from amqp_broker.embedding import EmbeddedBroker, run_in_thread

LONG = 1000
DEADLINE_S = 10.0


def until(holds: Callable[[], bool]) -> None:
    """Look again and again."""
    ends = time.monotonic() + DEADLINE_S
    while not holds():
        assert time.monotonic() < ends
        time.sleep(0.005)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[EmbeddedBroker]:
    with run_in_thread(trace_directory=tmp_path / "traces", trace_file_octets=20_000) as broker:
        yield broker


@pytest.fixture
def api(broker: EmbeddedBroker) -> Iterator[httpx.Client]:
    assert broker.management_url is not None
    with httpx.Client(base_url=f"{broker.management_url.rstrip('/')}/api/", auth=("guest", "guest")) as client:
        yield client


def begin(api: httpx.Client, name: str, **body: object) -> None:
    """Begin a trace, and wait until it runs."""
    api.put(f"traces/%2F/{name}", json={"format": "json", "pattern": "#", **body}).raise_for_status()
    until(lambda: api.get(f"traces/%2F/{name}").json().get("state") == "running")


def publish(api: httpx.Client, key: str, payload: str) -> None:
    message = {"properties": {"type": "t"}, "routing_key": key, "payload": payload, "payload_encoding": "string"}
    api.post("exchanges/%2F/amq.topic/publish", json=message).raise_for_status()


def lines_of(api: httpx.Client, name: str, count: int) -> list[str]:
    """The lines of a trace's file, once there are so many."""
    until(lambda: api.get(f"trace-files/{name}.log").text.count("\n") >= count)
    return api.get(f"trace-files/{name}.log").text.splitlines()


def test_messages_are_written_down_and_fetched(api: httpx.Client) -> None:
    begin(api, "t", max_payload_bytes=5)
    api.put("queues/%2F/q", json={"durable": True}).raise_for_status()
    api.post("bindings/%2F/e/amq.topic/q/q", json={"routing_key": "k"}).raise_for_status()
    publish(api, "k", "Hello world")
    api.post("queues/%2F/q/get", json={"count": 1, "ackmode": "ack_requeue_false", "encoding": "auto"})
    published, received = map(json.loads, lines_of(api, "t", 2))
    assert published["type"] == "published"
    assert (published["exchange"], published["routing_keys"], published["queue"]) == ("amq.topic", ["k"], "none")
    assert (published["routed_queues"], published["properties"]["type"]) == (["q"], "t")
    assert base64.b64decode(published["payload"]) == b"Hello"
    assert (received["type"], received["queue"], received["routed_queues"]) == ("received", "q", "none")
    (file,) = api.get("trace-files").json()
    assert file == {"name": "t.log", "size": len(api.get("trace-files/t.log").content)}
    assert api.get("trace-files/t.log").headers["content-type"] == "text/plain; charset=utf-8"


def test_the_firehose_goes_off_with_the_last_trace(api: httpx.Client) -> None:
    begin(api, "one")
    begin(api, "two", pattern="deliver.#")
    assert [trace["name"] for trace in api.get("traces/%2F").json()] == ["one", "two"]
    assert api.get("vhosts/%2F").json()["tracing"] is True
    assert api.delete("traces/%2F/one").status_code == 204
    assert api.get("vhosts/%2F").json()["tracing"] is True
    assert api.delete("traces/%2F/two").status_code == 204
    assert api.get("vhosts/%2F").json()["tracing"] is False
    assert api.get("traces").json() == []
    assert api.delete("traces/%2F/two").status_code == 404
    until(lambda: api.get("connections").json() == [])
    assert {api.delete(f"trace-files/{name}.log").status_code for name in ("one", "two")} == {204}
    assert api.get("trace-files").json() == []


def test_a_firehose_that_was_on_stays_on(api: httpx.Client) -> None:
    api.put("vhosts/%2F", json={"tracing": True}).raise_for_status()
    begin(api, "t")
    api.delete("traces/%2F/t").raise_for_status()
    assert api.get("vhosts/%2F").json()["tracing"] is True


def test_text_is_for_people(api: httpx.Client) -> None:
    begin(api, "t", format="text")
    publish(api, "k", "Grüße\nzweite Zeile")
    text = "\n".join(lines_of(api, "t", 14))
    assert "Message published\n" in text
    assert "Exchange:      amq.topic\n" in text
    assert text.endswith("Payload:\nGrüße\nzweite Zeile")


def test_a_file_that_is_full_ends_its_trace(api: httpx.Client) -> None:
    begin(api, "t")
    for _ in range(40):
        publish(api, "k", "x" * LONG)
    until(lambda: api.get("traces/%2F/t").json()["state"] == "terminated")
    assert "is full" in api.get("traces/%2F/t").json()["reason"]
    assert api.get("trace-files").json()[0]["size"] < 40 * LONG * 4 // 3


def test_nothing_is_traced_for_a_file_that_is_full(api: httpx.Client) -> None:
    begin(api, "t")
    for _ in range(40):
        publish(api, "k", "x" * LONG)
    until(lambda: api.get("vhosts/%2F").json()["tracing"] is False)
    assert api.get("traces/%2F/t").json()["state"] == "terminated"
    begin(api, "other")
    assert api.get("vhosts/%2F").json()["tracing"] is True
    api.delete("traces/%2F/other").raise_for_status()
    assert api.get("vhosts/%2F").json()["tracing"] is False
    api.delete("trace-files/t.log").raise_for_status()
    begin(api, "t")
    assert api.get("vhosts/%2F").json()["tracing"] is True
    publish(api, "k", "again")
    assert json.loads(lines_of(api, "t", 1)[0])["exchange"] == "amq.topic"


def test_a_trace_goes_with_its_vhost(api: httpx.Client) -> None:
    api.put("vhosts/v", json={"tracing": False}).raise_for_status()
    api.put("traces/v/t", json={"format": "json", "pattern": "#"}).raise_for_status()
    api.delete("vhosts/v").raise_for_status()
    assert api.get("traces").json() == []


@pytest.mark.parametrize(
    ("name", "body", "reason"),
    [
        ("t", {"pattern": "#"}, "[{key_missing,format}]"),
        ("t", {"format": "json"}, "[{key_missing,pattern}]"),
        ("t", {"format": "ebcdic", "pattern": "#"}, "format not json or text"),
        ("t", {"format": "json", "pattern": "#", "max_payload_bytes": "abc"}, "max_payload_bytes not integer"),
        ("../t", {"format": "json", "pattern": "#"}, "invalid trace name"),
        (".hidden", {"format": "json", "pattern": "#"}, "invalid trace name"),
        ("a\n", {"format": "json", "pattern": "#"}, "invalid trace name"),
        ("x" * 201, {"format": "json", "pattern": "#"}, "invalid trace name"),
    ],
)
def test_traces_that_cannot_be(api: httpx.Client, name: str, body: object, reason: str) -> None:
    answer = api.put(f"traces/%2F/{quote(name, safe='')}", json=body)
    assert (answer.status_code, answer.json()["reason"]) == (400, reason)


def test_only_traces_are_fetched(api: httpx.Client, tmp_path: Path) -> None:
    (tmp_path / "secret.log").write_text("secret")
    (tmp_path / "traces").mkdir()
    (tmp_path / "traces" / "link.log").symlink_to(tmp_path / "secret.log")
    (tmp_path / "traces" / "other.txt").write_text("secret")
    for name in ("..%2Fsecret.log", "link.log", "other.txt", "nothing.log", "..%5Csecret.log", "%2e%2e"):
        assert api.get(f"trace-files/{name}").status_code == 404
        assert api.delete(f"trace-files/{name}").status_code == 404
    assert api.get("trace-files/t.log", auth=("guest", "wrong")).status_code == 401


def test_a_broker_that_keeps_nothing_says_where_it_would_need_to_write() -> None:
    with run_in_thread() as broker:
        answer = httpx.put(
            f"{str(broker.management_url).rstrip('/')}/api/traces/%2F/t",
            json={"format": "json", "pattern": "#"},
            auth=("guest", "guest"),
        )
    assert answer.status_code == 400
    assert "tracing.dir" in answer.json()["reason"]
