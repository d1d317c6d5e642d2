"""What memory is used for, in RabbitMQ's categories."""

from __future__ import annotations

import psutil

from amqp_broker.inspection.values import Record

MEMORY_CATEGORIES = (
    "connection_readers",
    "connection_writers",
    "connection_channels",
    "connection_other",
    "stream_queue_procs",
    "stream_queue_replica_reader_procs",
    "stream_queue_coordinator_procs",
    "queue_procs",
    "quorum_queue_procs",
    "quorum_queue_dlx_procs",
    "plugins",
    "metadata_store",
    "other_proc",
    "metrics",
    "mgmt_db",
    "quorum_ets",
    "mnesia",
    "metadata_store_ets",
    "other_ets",
    "binary",
    "msg_index",
    "code",
    "atom",
    "other_system",
    "allocated_unused",
    "reserved_unallocated",
)


def memory_record() -> Record:
    """What memory is used for: Python does not say, so all of it is other."""
    used = psutil.Process().memory_info().rss
    record: Record = dict.fromkeys(MEMORY_CATEGORIES, 0)
    record["other_proc"] = used
    record["strategy"] = "rss"
    record["total"] = {"erlang": used, "rss": used, "allocated": used}
    return record


def relative_memory_record() -> Record:
    """The same in parts of a hundred."""
    record: Record = dict.fromkeys(MEMORY_CATEGORIES, 0)
    return record | {"other_proc": 100, "total": 100}
