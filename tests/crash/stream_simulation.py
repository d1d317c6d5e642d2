"""A seeded life of streams: appends, readers, retention, refusals, crashes, and a model of what must be left.

A seed that fails replays exactly. Many of them: `python -m tests.crash.stream_simulation 0 100000`.
"""

from __future__ import annotations

from random import Random

import attrs

from amqp_broker.message import Message
from amqp_broker.storage.settings import JournalSettings, SyncMode
from amqp_broker.storage.stream_log import Cursor, StreamLimits, StreamLog
from amqp_broker.storage.stream_recovery import inspect_streams, recover_streams
from amqp_broker.storage.streams import Streams
from tests.crash import lives
from tests.crash.lives import Promises
from tests.crash.plain_message import body_of, plain_message
from tests.storage.harness import DIRECTORY, Clock

SETTINGS = JournalSettings(stream_cache_octets=3000, unsynced_octets=2000, sync_interval_s=0.5)
IDENTITY = bytes(range(16))
IDS = (1, 2, 3)


class Model:
    """What is known of one stream.

    Attributes:
        bodies: of all messages ever appended that may be left.
        told: every message before this offset was confirmed or read by somebody.
        limits: of how much is kept.
    """

    def __init__(self, random: Random) -> None:
        self.bodies: dict[int, bytes] = {}
        self.told = 0
        self.limits = StreamLimits(
            max_octets=random.choice((None, 3000)),
            max_age_s=random.choice((None, 5.0)),
            segment_octets=random.choice((600, 2500)),
        )


class Life(lives.Life):
    """Streams of three queues, and what the model knows of them."""

    LONGEST = 150

    def __init__(self, seed: int, sync: SyncMode) -> None:
        super().__init__(seed, sync)
        self.clock = Clock()
        self.models = {stream_id: Model(self.random) for stream_id in IDS}

    def begin(self) -> None:
        self.boot(was_clean=False)

    def boot(self, *, was_clean: bool) -> None:
        """Recover, and check what was found against the model."""
        self.calm_disk()
        seen = inspect_streams(self.disk, DIRECTORY, IDENTITY)
        found = recover_streams(self.disk, DIRECTORY, IDENTITY)
        assert not found.damage, found.damage
        assert not seen.damage, seen.damage
        assert not (was_clean and found.torn), found.torn
        assert {key: value.next_offset for key, value in seen.streams.items()} == {
            key: value.next_offset for key, value in found.streams.items()
        }
        settings = attrs.evolve(SETTINGS, sync=self.sync)
        self.streams = Streams(self.disk, DIRECTORY, IDENTITY, settings, found.streams, self.clock)
        self.logs = {}
        self.cursors: list[tuple[StreamLog, Cursor]] = []
        self.promises = Promises(self.streams.when_durable)
        for stream_id, model in self.models.items():
            recovered = found.streams.get(stream_id)
            first = recovered.segments[0].first if recovered and recovered.segments else 0
            log = self.logs[stream_id] = self.streams.open(stream_id, model.limits, plain_message, self.clock)
            assert log.next_offset >= model.told, f"lost: {log.next_offset} of {model.told}"
            if was_clean:
                assert log.next_offset == max(model.bodies, default=-1) + 1
            everything = self.read_all(log)
            expected = range(log.first_offset, log.next_offset)
            assert list(everything) == list(expected), "not without gaps"
            assert first <= log.first_offset
            assert all(model.bodies[offset] == body for offset, body in everything.items())
            model.bodies = dict(everything)
            model.told = log.next_offset

    def read_all(self, log: StreamLog) -> dict[int, bytes]:
        """Read everything there is, by offset."""
        cursor = Cursor(log, log.first_offset, None)
        found = {}
        while (message := cursor.next()) is not None:
            found[cursor.offset - 1] = body_of(message)
        return found

    def append(self) -> None:
        stream_id = self.random.choice(IDS)
        model, log = self.models[stream_id], self.logs[stream_id]
        body = self.random.randbytes(self.random.choice((0, 10, 100, 700)))
        offset = log.append(b"\0\0", b"header", body, self.random.choice((None, b"red", b"blue")))
        model.bodies[offset] = body

        def told() -> None:
            model.told = max(model.told, offset + 1)

        self.promises.make(told)

    def read_some(self) -> None:
        """Let a reader go on, or a new one begin somewhere."""
        random = self.random
        if not self.cursors or random.random() < 0.3:
            log = random.choice(list(self.logs.values()))
            offset = random.choice((log.first_offset, log.next_offset, log.last_chunk_offset))
            if random.random() < 0.3:
                offset = log.offset_at(int((self.clock.now - random.random() * 10) * 1000))
            self.cursors.append((log, Cursor(log, offset, None)))
        log, cursor = random.choice(self.cursors)
        model = self.models[log.id]
        for _ in range(random.randint(1, 20)):
            expected = max(cursor.offset, log.first_offset)
            try:
                message: Message | None = cursor.next()
            except BlockingIOError:
                return
            if message is None:
                return
            offset = cursor.offset - 1
            assert offset <= expected, "a reader has left something out"
            assert model.bodies[offset] == body_of(message)
            model.told = max(model.told, cursor.offset)

    def step(self) -> None:
        random = self.random
        match random.choices(range(7), (30, 25, 6, 15, 3, 6, 2))[0]:
            case 0:
                self.append()
            case 1:
                batch = self.streams.take_batch()
                for _ in range(random.randint(0, 3)):
                    self.append()
                if batch:
                    error = None
                    try:
                        batch.execute(self.disk)
                    except OSError as refusal:
                        error = refusal
                    self.streams.batch_done(batch, error)
            case 2:
                self.clock.now += random.choice((0.01, 0.3, 2.0))
            case 3:
                self.read_some()
            case 4:
                self.streams.retry()
            case 5:
                if (reads := self.streams.take_reads()) is not None:
                    reads.execute(self.disk)
                    self.streams.reads_done(reads)
            case _:
                random.choice(list(self.logs.values())).retain()

    def crash(self) -> None:
        self.end_disk()
        self.boot(was_clean=False)

    def stop(self) -> None:
        self.calm_disk()
        self.streams.retry()
        self.streams.finish()
        while not self.streams.is_finished:
            if batch := self.streams.take_batch():
                batch.execute(self.disk)
                self.streams.batch_done(batch, None)
        self.end_disk()
        self.boot(was_clean=True)


def run(seed: int, sync: SyncMode = "always") -> None:
    """Live a few lives; raises if a promise is broken."""
    lives.run(Life(seed, sync), 200)


if __name__ == "__main__":
    lives.main(run)
