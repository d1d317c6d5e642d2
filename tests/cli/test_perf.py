"""`amqp-broker perf`: as users meet it, against a real broker; and the parts that need none."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pika
import pytest

from amqp_broker.cli import perf
from amqp_broker.cli.parser import UsageError
from amqp_broker.perf.board import Board
from amqp_broker.perf.consumer import SingleAcks, delivery_shape
from amqp_broker.perf.histogram import BUCKETS, MAX_NS, bucket, bucket_end_ns, percentiles_ns
from amqp_broker.perf.publisher import ConfirmCount
from amqp_broker.perf.run import Run
from amqp_broker.perf.wire import (
    BASIC_DELIVER,
    BASIC_NACK,
    BODY,
    HEADER,
    Address,
    Client,
    WireError,
    ack_frame,
    frame,
    method_frame,
    publish_frames,
    shortstr,
)
from amqp_broker.perf.workload import Workload
from amqp_codec import CommandReader, ConnectionClose, PublishCommand, encode_method_frame

PROJECT = Path(__file__).parents[2]
DEADLINE_S = 60.0


def start(*arguments: str) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": f"{PROJECT}:{PROJECT / 'codec'}"}
    return subprocess.Popen(
        [sys.executable, "-m", "amqp_broker", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Of a running broker."""
    process = start("--port", "0", "--memory", "--log-level", "error")
    assert process.stdout is not None
    words = process.stdout.readline().split()
    assert words[:1] == ["ready"], process.communicate(timeout=DEADLINE_S)[1]
    yield words[1]
    process.terminate()
    _, errors = process.communicate(timeout=DEADLINE_S)
    assert "Traceback" not in errors


def run(*arguments: str) -> tuple[int, str, str]:
    process = start("perf", *arguments)
    output, errors = process.communicate(timeout=DEADLINE_S)
    return process.returncode, output, errors


RunJSON = Callable[..., dict[str, Any]]


@pytest.fixture
def run_json(url: str, capsys: pytest.CaptureFixture[str]) -> RunJSON:
    """The command within this process; gives its result."""

    def run_json(*arguments: str) -> dict[str, Any]:
        assert perf.main(["--uri", url, *arguments, "--json"]) == 0
        result = json.loads(capsys.readouterr().out)
        assert isinstance(result, dict)
        return result

    return run_json


# The command, against a broker


@pytest.mark.parametrize(
    ("arguments", "published", "consumed"),
    [
        (["-C", "3000"], 3000, 3000),
        (["-C", "500", "-x", "2", "-y", "3", "--queues", "4", "--ack-every", "1", "-q", "10"], 1000, 1000),
        (["-C", "300", "-s", "300000", "--ack-every", "7"], 300, 300),
        (["-C", "200", "--exchange", "fanout", "--queues", "5"], 200, 1000),
        (["-C", "700", "--exchange", "topic", "--bindings", "60", "--routing-keys", "20"], 700, 700),
        (["-C", "100", "--exchange", "direct", "--queues", "3", "-s", "0"], 100, 100),
        (["-C", "50", "-y", "0"], 50, 0),
    ],
)
def test_all_that_was_published_is_counted_and_consumed(
    run_json: RunJSON, arguments: list[str], published: int, consumed: int
) -> None:
    result = run_json(*arguments)
    assert (result["published"], result["consumed"]) == (published, consumed)


def test_confirms_are_counted_and_latency_is_measured_for_each_message_at_a_rate(run_json: RunJSON) -> None:
    result = run_json("-C", "100", "--rate", "1000", "-c", "10", "--persistent", "-s", "100")
    assert result["confirmed"] == result["consumed"] == result["latency_samples"] == 100
    times = list(result["latency_ms"].values())
    assert times == sorted(times)
    assert times[0] > 0
    assert times[-1] < DEADLINE_S * 1000
    assert result["seconds"] >= 0.099


def test_what_a_queue_refuses_is_counted_as_refused(run_json: RunJSON) -> None:
    arguments = "x-max-length=3,x-overflow=reject-publish"
    result = run_json("-C", "20", "-y", "0", "-c", "5", "--queue-args", arguments)
    assert (result["confirmed"], result["refused"]) == (3, 17)


def test_nothing_is_left_behind(url: str) -> None:
    workload = Workload(exchange_type="fanout", queues=2, count=10)
    with Run(Address.from_uri(url), workload) as load, Client(url) as client:
        client.queue_declare(workload.queue_name(1), durable=True)  # the same: it is there
        load.begin()
        load.wait(DEADLINE_S)
        load.drain()
    connection = pika.BlockingConnection(pika.URLParameters(f"{url}/%2F"))
    with pytest.raises(pika.exceptions.ChannelClosedByBroker, match="NOT_FOUND"):
        connection.channel().queue_declare(workload.queue_name(1), passive=True)
    with pytest.raises(pika.exceptions.ChannelClosedByBroker, match="NOT_FOUND"):
        connection.channel().exchange_declare(workload.exchange, passive=True)
    connection.close()


def test_table_on_standard_output_and_progress_on_standard_error(url: str) -> None:
    status, output, errors = run("--uri", url, "-z", "0.3", "--rate", "200")
    assert status == 0
    words = [line.split() for line in output.splitlines()]
    assert words[0] == ["messages", "per", "second"]
    assert [line[0] for line in words[1:3]] == ["published", "consumed"]
    assert words[4] == ["latency", "min", "p50", "p95", "p99", "p99.9", "max"]
    assert "\r" not in errors
    assert "published" in errors.splitlines()[0]


def test_ctrl_c_ends_with_the_table_so_far(url: str) -> None:
    process = start("perf", "--uri", url, "--rate", "100", "-z", str(DEADLINE_S))
    assert process.stderr is not None
    assert "consumed" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0
    assert "published" in output
    assert "Traceback" not in errors


@pytest.mark.parametrize(
    ("path", "user", "words"),
    [("", "guest:wrong@", "403 ACCESS_REFUSED"), ("/elsewhere", "", "530 NOT_ALLOWED")],
)
def test_refused_login_is_one_line_and_status_1(url: str, path: str, user: str, words: str) -> None:
    status, output, errors = run("--uri", url.replace("://", f"://{user}") + path, "-z", "1")
    assert (status, output) == (1, "")
    assert words in errors
    assert errors.count("\n") == 1


def test_refused_arguments_are_one_line_and_status_1(url: str) -> None:
    status, _, errors = run("--uri", url, "--queue-args", "x-max-length=-1", "-z", "1")
    assert status == 1
    assert "406 PRECONDITION_FAILED" in errors
    assert errors.count("\n") == 1


def test_a_broker_that_is_not_there_is_one_line_and_status_1(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        uri = f"amqp://127.0.0.1:{taken.getsockname()[1]}"
        assert perf.main(["--uri", uri, "-z", "1"]) == 1
    output, errors = capsys.readouterr()
    assert output == ""
    assert "can't reach a broker" in errors
    assert errors.count("\n") == 1


def test_a_broker_that_closes_is_one_line_and_status_1() -> None:
    broker = start("--port", "0", "--memory", "--log-level", "error")
    assert broker.stdout is not None
    uri = broker.stdout.readline().split()[1]
    process = start("perf", "--uri", uri, "--rate", "100", "-z", str(DEADLINE_S))
    assert process.stderr is not None
    assert "consumed" in process.stderr.readline()
    broker.terminate()
    output, errors = process.communicate(timeout=DEADLINE_S)
    broker.communicate(timeout=DEADLINE_S)
    assert process.returncode == 1
    assert "published" in output
    assert "Traceback" not in errors
    assert errors.splitlines()[-1].startswith("amqp-broker perf: 127.0.0.1:")


# Bad input


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--uri", "http://localhost"], "amqp://"),
        (["--uri", "amqp://localhost:123456"], "port"),
        (["--uri", "amqp://localhost/a/b"], "%2F"),
        (["-x", "0"], "publisher"),
        (["-x", "many"], "no number"),
        (["--queues", "0"], "queue"),
        (["-s", "999999999999"], "octets"),
        (["-q", "65536"], "65535"),
        (["-q", "10", "--ack-every", "20"], "prefetch"),
        (["--queue-args", "x-max-length"], "key=value"),
        (["--routing-keys", "2"], "exchange"),
        (["--exchange", "direct", "--routing-keys", "3", "--bindings", "2"], "bindings"),
        (["--rate", "-1"], "no number"),
        (["--rate", "nan"], "no number"),
        (["-z", "1", "-C", "1"], "not allowed"),
        (["--ack-every", "1", "--auto-ack"], "not allowed"),
        (["--exchange", "star"], "star"),
    ],
)
def test_bad_input_is_one_sentence(arguments: list[str], words: str) -> None:
    with pytest.raises(UsageError) as error:
        perf.main(arguments)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_bad_input_is_status_2_and_shows_no_password() -> None:
    status, output, errors = run("--uri", "http://me:secret@localhost")
    assert (status, output, errors.count("\n")) == (2, "", 1)
    assert "secret" not in errors


# URIs


@pytest.mark.parametrize(
    ("uri", "address"),
    [
        ("amqp://", Address()),
        ("amqp://there", Address(host="there")),
        ("amqp://there:1/", Address(host="there", port=1)),
        ("amqp://a%40b:c%3Ad@there/%2Fx%2F%20y", Address("there", 5672, "a@b", "c:d", "/x/ y")),
        ("amqp://[::1]:7/v", Address(host="::1", port=7, vhost="v")),
        ("amqp://u:@h/%2F", Address(host="h", user="u", password="")),
    ],
)
def test_uris_are_decoded(uri: str, address: Address) -> None:
    assert Address.from_uri(uri) == address


def test_an_address_shows_no_password() -> None:
    address = Address(password="secret")
    assert "secret" not in f"{address} {address!r}"


# Frames made and counted


@pytest.mark.parametrize("octets", [0, 1, 100, 4088, 4089, 10_000])
def test_frames_of_a_publish_are_what_a_broker_reads(octets: int) -> None:
    body = bytes(range(256)) * (octets // 256) + bytes(octets % 256)
    data = publish_frames("e", "k", body, persistent=True, message_id="m", reply_to="r", frame_max=4096)
    (command,) = CommandReader(4096, 1 << 20, 1 << 20).receive(data)
    assert isinstance(command, PublishCommand)
    assert (command.exchange, command.routing_key, command.body) == ("e", "k", body)
    properties = command.header.properties
    assert (properties.delivery_mode, properties.message_id, properties.reply_to) == (2, "m", "r")


def deliver(tag: int, body: bytes) -> bytes:
    method = method_frame(
        1, BASIC_DELIVER, shortstr("c00000") + struct.pack(">QB", tag, 0) + shortstr("") + shortstr("q")
    )
    header = frame(HEADER, 1, struct.pack(">HHQH", 60, 0, len(body), 0))
    return method + header + (frame(BODY, 1, body) if body else b"")


@pytest.mark.parametrize("body", [b"", b"0123456789"])
def test_the_shape_of_a_delivery_is_known_once_it_is_whole(body: bytes) -> None:
    data = deliver(7, body)
    shape = delivery_shape(data + b"\x01")
    assert shape is not None
    assert shape.octets == len(data)
    assert struct.unpack_from(">Q", data, shape.tag_at) == (7,)
    if body:
        assert data[shape.body_at : shape.body_at + len(body)] == body
    for end in range(len(data)):
        assert delivery_shape(data[:end]) is None


def test_a_close_in_place_of_a_delivery_is_told() -> None:
    with pytest.raises(WireError, match="320 CONNECTION_FORCED - bye"):
        delivery_shape(encode_method_frame(0, ConnectionClose(320, "CONNECTION_FORCED - bye", 0, 0)))


@pytest.mark.parametrize(
    "tags", [(1, 1), (1, 255), (1, 256), (200, 300), (250, 70_000), (65_530, 65_540), (2**40 - 3, 2**40 + 3)]
)
def test_single_acks_are_ack_frames(tags: tuple[int, int]) -> None:
    acks = SingleAcks()
    acks.frames(5, 9)
    first, last = tags
    assert acks.frames(first, last) == b"".join(ack_frame(tag, multiple=False) for tag in range(first, last + 1))


def test_confirms_are_counted_in_any_order_and_slicing() -> None:
    confirms = ConfirmCount()
    nack = method_frame(1, BASIC_NACK, struct.pack(">QB", 5, 0))
    data = ack_frame(3, multiple=False) + ack_frame(2, multiple=True) + nack + ack_frame(4, multiple=False)
    for octet in data:
        confirms.receive(bytes([octet]))
    assert (confirms.count, confirms.refused) == (5, 1)


def test_a_close_among_confirms_is_told() -> None:
    confirms = ConfirmCount()
    with pytest.raises(WireError, match="404 NOT_FOUND"):
        confirms.receive(encode_method_frame(0, ConnectionClose(404, "NOT_FOUND - no exchange", 60, 40)))


def test_a_short_close_is_told_when_the_socket_is_closed() -> None:
    confirms = ConfirmCount()
    confirms.receive(encode_method_frame(0, ConnectionClose(320, "", 0, 0))[:20])
    assert isinstance(confirms.end(), WireError)


# Workloads


def test_publishers_and_consumers_reach_every_queue() -> None:
    for publishers, consumers, queues in [(1, 1, 1), (2, 3, 7), (7, 5, 2), (4, 4, 4)]:
        workload = Workload(publishers=publishers, consumers=consumers, queues=queues)
        every = {workload.queue_name(number) for number in range(queues)}
        assert {key for number in range(publishers) for _, key in workload.addresses(number)} == every
        assert {name for number in range(consumers) for name in workload.queues_of(number)} == every
        assert workload.batch % len(workload.addresses(0)) == 0


def test_every_routing_key_has_one_binding() -> None:
    workload = Workload(exchange_type="topic", bindings=1000, routing_keys=30, queues=7)
    bound = [key for _, key in workload.iter_bindings()]
    assert len(set(bound)) == len(bound) == 1000
    for _, key in workload.addresses(0):
        assert (key in bound) + (key.replace("key", "*") in bound) == 1


def test_the_lead_is_bounded_in_octets() -> None:
    assert Workload().lead == 50_000
    assert Workload(body_octets=1 << 20).lead == 100
    assert Workload(max_lead=0).lead == Workload(consumers=0).lead == 0


# Latencies


def test_every_value_is_in_a_bucket_no_wider_than_one_in_128() -> None:
    generator = random.Random(1)
    values = [*range(2000), *(generator.randrange(1 << generator.randrange(1, 38)) for _ in range(5000)), MAX_NS]
    for value in values:
        number = bucket(value)
        assert 0 <= number < BUCKETS
        assert value <= bucket_end_ns(number) <= value + value // 128
        assert number == 0 or bucket_end_ns(number - 1) < value


def test_percentiles() -> None:
    counts = [0] * BUCKETS
    for value in range(1, 1001):
        counts[bucket(value * 1000)] += 1
    values = percentiles_ns(counts, (0.5, 0.99, 0.999, 1.0))
    assert [round(value / 1000, -1) for value in values] == pytest.approx([500, 990, 1000, 1000], rel=0.01)
    assert percentiles_ns([0] * BUCKETS, (0.5,)) == [0]
    assert bucket(10 * MAX_NS) == BUCKETS - 1
    assert bucket(-1) == 0


def test_what_one_process_writes_on_the_board_all_see() -> None:
    board = Board(2, 1)
    writer = threading.Thread(target=lambda: board.publisher_words(1).__setitem__(0, 5))
    writer.start()
    writer.join()
    board.consumer_words(0)[0] = 3
    board.histogram(0)[7] += 1
    assert (board.published, board.consumed, board.latencies[7], sum(board.latencies)) == (5, 3, 1, 1)
    assert board.done_at == 0
    assert Board(0, 0).latencies == []
