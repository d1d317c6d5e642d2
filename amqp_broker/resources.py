"""Memory and disk: looks at what is used, and stops publishers before either runs out (rule 1.34).

Somebody calls `look` now and then; it takes microseconds.
"""

from __future__ import annotations

import logging
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from amqp_broker.broker import Broker

if sys.platform == "win32":

    def open_files_limit() -> int:
        """How many files this process may have open; Windows counts none."""
        return 1 << 30
else:
    import resource

    def open_files_limit() -> int:
        """How many files this process may have open."""
        limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        return limit if limit != resource.RLIM_INFINITY else 1 << 30


log = logging.getLogger(__name__)

CGROUP_LIMITS: Final = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
"""Where a container is told how much memory it has, in both versions of control groups."""


class Resources:
    """What the broker uses, and from where on it is too much.

    Attributes:
        memory_limit_octets: from there on publishers wait; may be changed at any time.
        disk_free_limit_octets: below that publishers wait; may be changed at any time.
        pretended: alarms that are on whatever is measured, for tests of publishers.
    """

    def __init__(
        self,
        broker: Broker,
        *,
        memory_used: Callable[[], int] | None = None,
        memory_total: int | None = None,
        disk_free: Callable[[Path], int] | None = None,
    ) -> None:
        config = broker.config
        self._broker = broker
        self._memory_used = memory_used or _resident_octets
        self._disk_free = disk_free or _free_octets
        self._journal_error: OSError | None = None
        self.pretended: set[str] = set()
        self.memory_total_octets = config.total_memory_octets or memory_total or machine_memory_octets()
        self.memory_limit_octets = config.memory_high_watermark_octets or int(
            self.memory_total_octets * config.memory_high_watermark
        )
        self.disk_free_limit_octets = config.disk_free_limit_octets
        if config.disk_free_limit_relative is not None:
            self.disk_free_limit_octets = int(self.memory_total_octets * config.disk_free_limit_relative)

    @property
    def memory_used_octets(self) -> int:
        return self._memory_used()

    @property
    def disk_free_octets(self) -> int | None:
        """Free room for the data directory; None without one, or when nobody can tell."""
        directory = self._broker.config.data_dir
        if directory is None:
            return None
        try:
            return self._disk_free(directory)
        except OSError:
            return None

    def look(self) -> None:
        """Raise or clear the alarms, and tell queues how much they may hold beyond their windows."""
        used, limit = self.memory_used_octets, self.memory_limit_octets
        self._broker.storage.spare.limit_octets = int(limit * self._broker.config.memory_paging_ratio)
        is_short = used > limit or "memory" in self.pretended
        if is_short != ("memory" in self._broker.alarms):
            log.warning("memory: %d MiB used, limit %d MiB", used >> 20, limit >> 20)
            self._broker.set_alarm("memory", is_short)
        free = self.disk_free_octets
        is_short = free is not None and free < self.disk_free_limit_octets
        is_short = is_short or self._journal_error is not None or "disk" in self.pretended
        if is_short != ("disk" in self._broker.alarms):
            if free is not None:
                log.warning("disk: %d MB free, limit %d MB", free // 10**6, self.disk_free_limit_octets // 10**6)
            self._broker.set_alarm("disk", is_short)

    def journal_changed(self, error: OSError | None) -> None:
        """The journal can't be written any more, or can again."""
        if error is not None:
            advice = "" if error.errno is None else ", free space or mend the disk"  # of a cluster it is no disk
            log.error("the journal can't be written: %s; publishers wait%s", error, advice)
        else:
            log.warning("the journal can be written again")
        self._journal_error = error
        self.look()


def machine_memory_octets() -> int:
    """The memory of the machine, or of the container where that is less."""
    limits = [_physical_octets()]
    for path in CGROUP_LIMITS:
        try:
            limits.append(int(path.read_text("ascii")))
        except (OSError, ValueError):  # not there, or "max"
            continue
    return min(limit for limit in limits if limit > 0)


if sys.platform == "linux":  # all of psutil is a twentieth of what a start takes

    def _physical_octets() -> int:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")

    def _resident_octets() -> int:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
else:
    import psutil

    def _physical_octets() -> int:
        return int(psutil.virtual_memory().total)

    def _resident_octets() -> int:
        return int(psutil.Process().memory_info().rss)


def _free_octets(directory: Path) -> int:
    return shutil.disk_usage(directory).free
