"""Which log each vhost has, as the table of keys says it: whoever sees a vhost without one chooses.

Each time a vhost is made it has another log, so that nothing is left of a namesake.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Collection
from typing import Final

import trio

from amqp_broker.cluster.bucket import Bucket
from amqp_broker.cluster.log import Conflict, LogUnavailable, vhost_key
from amqp_broker.cluster.meta import Meta
from amqp_broker.storage.definitions import Change, ChangeKind, text_of

log = logging.getLogger(__name__)

LOG: Final = "log."
"""Of keys that tell the logs of vhosts."""
FORM: Final = "-lanes"
"""How names of logs end. Those of before had one stream each, and no such end."""
RETRY_S: Final = 0.5


class LoggedMeta(Meta):
    """What is administered; with a vhost the key goes that says where its log is.

    That key goes first: should the rest be cut off, a vhost is left that is empty, rather than a log that another vhost
    of that name would take for its own.
    """

    def changed(self, change: Change) -> None:
        if change.kind is ChangeKind.VHOST_DELETED:
            self._put(LOG + vhost_key(text_of(change.table, "vhost")), None)
        super().changed(change)

    def told(self, key: str, value: bytes | None, revision: int) -> list[Change]:
        if key.startswith(LOG):
            self._revisions[key] = revision
        return super().told(key, value, revision)


class VhostLogs:
    """The names of logs.

    Args:
        bucket: the table.
        prefix: how the streams of this cluster begin, for the log.
        vhosts: those there are.
    """

    def __init__(self, bucket: Bucket, prefix: str, vhosts: Collection[str]) -> None:
        self._bucket = bucket
        self._prefix = prefix
        self._vhosts = vhosts
        self._names: dict[str, str] = {}
        self._choosing: set[str] = set()
        self._foreign: set[str] = set()
        """Keys of vhosts that are in a form which we do not read."""
        self._ended: set[str] = set()

    def told(self, key: str, value: bytes | None) -> None:
        """The table has told of a key, which may be about something else."""
        if not key.startswith(LOG):
            return
        key = key.removeprefix(LOG)
        self._foreign.discard(key)
        if value is None:
            self._names.pop(key, None)
            self._ended.add(key)
        else:
            self._names[key] = value.decode()

    def is_of(self, key: str, name: str) -> bool:
        """Whether that log is still the one of the vhost with this key."""
        return self._names.get(key) == name

    def look_for(self, vhost: str, nursery: trio.Nursery) -> str | None:
        """The name of a vhost's log; None while there is none, which is begun to be changed, or none we can read."""
        key = vhost_key(vhost)
        name = self._names.get(key)
        if key in self._foreign:
            return None
        if name is None:
            if key not in self._choosing:
                self._choosing.add(key)
                nursery.start_soon(self._choose, vhost)
        elif not name.endswith(FORM):
            self._foreign.add(key)
            log.error(
                "vhost %r is in a form of an earlier, experimental version, in stream %s-%s, which is left alone: fetch"
                " what is in there with that version, then delete the vhost and make it anew; it can't be opened here",
                vhost,
                self._prefix,
                name,
            )
            return None
        return name

    async def _choose(self, vhost: str) -> None:
        """Choose a log for a vhost that has none, unless somebody is faster; the watch tells of it."""
        key = vhost_key(vhost)
        if key in self._ended:  # with its vhost, of which we are about to be told that it is no more
            await trio.sleep(RETRY_S)
        if vhost in self._vhosts and key not in self._names:
            name = f"{key}-{secrets.token_hex(6)}{FORM}"
            try:
                await trio.to_thread.run_sync(self._bucket.create, LOG + key, name.encode())
            except (Conflict, LogUnavailable) as error:
                log.debug("%s: %s", key, error)
                await trio.sleep(RETRY_S)
        self._choosing.discard(key)
