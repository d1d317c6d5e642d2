"""The machine a measurement ran on, and how much of it somebody else was using meanwhile.

A broker is measured on a machine that also does other things; a figure is worth as much as that was little.
So the processor time of everything outside our own tree of processes is part of the result. Linux only.
"""

from __future__ import annotations

import os
import platform
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

from interop.processes import ROOT

TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def describe_machine() -> str:
    """One line: processor, cores, kernel, Python, and the commit of this checkout."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.split(": ", 1)[1] for line in lines if line.startswith("model name")]
    git = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
    described = subprocess.run(git, capture_output=True, text=True, check=False, timeout=10)
    return (
        f"{models[0] if models else platform.machine()}, {len(os.sched_getaffinity(0))} cores; "
        f"{platform.system()} {platform.release()}; "
        f"{platform.python_implementation()} {platform.python_version()}; "
        f"commit {described.stdout.strip() or 'unknown'}"
    )


class Load(NamedTuple):
    """Processor seconds used up to a moment: by the machine, and by this process and its descendants.

    What the host of a virtual machine has kept for itself while something here wanted it counts as the machine's.
    """

    at: float
    machine_s: float
    own_s: float

    def others_since(self, before: Load) -> float:
        """Processors that everything else kept busy in between, on average."""
        machine_s = self.machine_s - before.machine_s
        return max(0.0, machine_s - (self.own_s - before.own_s)) / (self.at - before.at)


def current_load() -> Load:
    user, nice, system, _, _, _, _, stolen = map(int, Path("/proc/stat").read_text().split()[1:9])
    machine_s = (user + nice + system + stolen) / TICKS_PER_S
    return Load(time.monotonic(), machine_s, _own_ticks() / TICKS_PER_S)


def _own_ticks() -> int:
    """Of living descendants, and of those that ended and were waited for."""
    parents: dict[int, int] = {}
    ticks: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                # pid (name) state ppid ...; the name may hold anything, so count from its last parenthesis
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue  # it has ended meanwhile
            parents[int(entry.name)] = int(fields[1])
            ticks[int(entry.name)] = sum(map(int, fields[11:15]))
    own = {os.getpid()}
    while True:
        children = {pid for pid, parent in parents.items() if parent in own} - own
        if not children:
            return sum(ticks.get(pid, 0) for pid in own)
        own |= children
