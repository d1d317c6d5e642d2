"""Opening a data directory: lock, recovery, and a journal that goes on where the last one ended."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

import attrs

from amqp_broker.storage.batch import CheckpointBatch
from amqp_broker.storage.definitions import Definitions, queue_id_of
from amqp_broker.storage.disk import Disk, OsDisk
from amqp_broker.storage.journal import Journal
from amqp_broker.storage.page import Page
from amqp_broker.storage.recovery import recover
from amqp_broker.storage.settings import JournalSettings
from amqp_broker.storage.store import JournalStorage, read_topology
from amqp_broker.storage.stream_recovery import recover_streams
from amqp_broker.storage.streams import Streams
from amqp_codec import Table

log = logging.getLogger(__name__)

STREAM_ARGUMENTS: Final[Table] = {"x-queue-type": b"stream"}

ALL_SEGMENTS = 1 << 63
"""Above every segment: all that is there may have been delivered."""


@attrs.frozen
class Opened:
    """A data directory in use.

    Attributes:
        storage: for the broker.
        definitions: the durable topology as it was.
        queues: messages by queue id, in pages in the order of positions; also of queues that are no more.
    """

    storage: JournalStorage
    definitions: Definitions
    queues: dict[int, list[Page]]

    def forget_queue(self, queue_id: int) -> None:
        """Drop the messages of a queue that is not in the definitions."""
        for page in self.queues[queue_id]:
            for location in page.locations:
                self.storage.journal.remove(location)


def open_journal(
    directory: str,
    settings: JournalSettings,
    disk: Disk | None = None,
    clock: Callable[[], float] = time.monotonic,
    stream_disk: Disk | None = None,
) -> Opened:
    """Recover what is in a directory; whoever calls this holds its lock.

    Args:
        directory: where everything is, or nothing yet.
        settings: how the journal is to behave.
        disk: what it is on; the system's if none is given.
        clock: in seconds.
        stream_disk: the same one for streams, if their thread is to have its own.

    Raises:
        OSError: it can't be read or written.
        UnknownFormat: a later version of the broker wrote it.
    """
    disk = disk or OsDisk()
    recovery = recover(disk, directory)
    for torn in recovery.torn:
        log.warning("%s", torn)
    for damage in recovery.damage:
        log.error("damaged, what can be read is recovered: %s", damage)
    definitions, next_queue_id, crashed_before = read_topology(recovery)
    queues = recovery.queues(crashed_before if recovery.was_clean else ALL_SEGMENTS)
    if recovery.damage:
        for queue_id in definitions.lost_queues(queues):
            count = sum(map(len, queues[queue_id]))
            name = definitions.adopt(queue_id)
            next_queue_id = max(next_queue_id, queue_id + 1)
            log.error("the declaration of a queue is lost: its messages, %d, are in queue %r of vhost '/'", count, name)
    state = recovery.journal_state
    found = recover_streams(disk, directory, state.identity)
    for torn in found.torn:
        log.warning("%s", torn)
    for damage in found.damage:
        log.error("damaged, what can be read is recovered: %s", damage)
    if recovery.damage:
        for queue_id in definitions.lost_queues(found.streams):
            name = definitions.adopt(queue_id, STREAM_ARGUMENTS)
            next_queue_id = max(next_queue_id, queue_id + 1)
            log.error("the declaration of a stream is lost: its messages are in stream %r of vhost '/'", name)
    streams = Streams(stream_disk or disk, directory, state.identity, settings, found.streams, clock)
    streams.forget_others({queue_id_of(change.table) for change in definitions.queues.values()})
    if not recovery.was_clean:
        crashed_before = state.next_segment
    opened: list[JournalStorage] = []
    journal = Journal(disk, directory, state, lambda: opened[0].snapshot(), settings, clock)
    opened.append(
        JournalStorage(
            journal,
            streams,
            next_queue_id=next_queue_id,
            crashed_before=crashed_before,
            start=state.next_segment,
        )
    )
    if not recovery.is_new:
        if recovery.was_clean:
            _spoil(journal, opened[0], definitions)
        log.info(
            "%s: %d durable queues, %d messages, after %s",
            directory,
            len(definitions.queues),
            sum(len(page) for pages in queues.values() for page in pages),
            "a clean stop" if recovery.was_clean else "a stop without warning",
        )
    return Opened(opened[0], definitions, queues)


def _spoil(journal: Journal, storage: JournalStorage, definitions: Definitions) -> None:
    """Take back that the last stop was clean, before a message is delivered that nothing else tells of (rule 7.10)."""
    storage.definitions = lambda: definitions
    batch = journal.take_batch()
    assert isinstance(batch, CheckpointBatch)
    batch.execute(journal.disk)
    journal.batch_done(batch, None)
