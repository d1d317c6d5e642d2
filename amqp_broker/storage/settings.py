"""How a journal behaves."""

from __future__ import annotations

from typing import Final, Literal

import attrs

SyncMode = Literal["always", "interval", "never"]

_MIB: Final = 1 << 20


@attrs.frozen
class JournalSettings:
    """How the journal behaves.

    Attributes:
        sync: "always": callbacks follow an fsync. "interval": they follow the write, with an fsync every
            `sync_interval_s`. "never": they follow the write; only full segments and checkpoints are fsynced.
        sync_interval_s: at most so much is lost with the power in mode "interval".
        segment_octets: a segment is full when it has this size.
        lazy_delay_s: how long removals, marks and transient messages wait for something to be written with.
        behind_octets: `is_behind` when more than this is not yet written.
        unsynced_octets: fsync at the latest after so much, for it is kept in memory till then.
        checkpoint_interval_s: time between checkpoints that free only one segment.
        sparse_share: a segment is sparse if less than this share of its octets is live.
        spread: sparse segments are rewritten when the disk holds more than so many times what is live.
        reserve_octets: room kept for a checkpoint on a full disk.
        room_octets: zeros written ahead of small batches, so many at a time. What overwrites them changes nothing about
            the file but its octets, so its fsync is spared the file system's own journal.
        stream_segment_octets: the same as segment_octets for streams that don't say.
        stream_cache_octets: chunks remembered for the next reader, of all streams together.
    """

    sync: SyncMode = "always"
    sync_interval_s: float = 1.0
    segment_octets: int = 32 * _MIB
    lazy_delay_s: float = 0.1
    behind_octets: int = 32 * _MIB
    unsynced_octets: int = 8 * _MIB
    checkpoint_interval_s: float = 1.0
    sparse_share: float = 0.5
    spread: float = 2.0
    reserve_octets: int = 4 * _MIB
    room_octets: int = 256 << 10
    stream_segment_octets: int = 64 * _MIB
    stream_cache_octets: int = 16 * _MIB
