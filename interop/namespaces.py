"""Programs on a network of their own, each in a network namespace, joined by a bridge, with links that can be cut.

For Linux, as root, with iproute2. All of it is made here, the bridge too, and whoever makes it enters its namespace: no
network of the machine is changed, or reached. What goes from one to another is lost by sending it to a hardware address
that nobody has: it leaves, and does not arrive, as in a network that drops it. No socket is told, and no new connection
is refused; connections that are there go on once it is healed.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import attrs

PREFIX = "amqp-broker-"
RUN = Path("/run/netns")
SUBNET = "10.77.0"
NOBODY = "02:00:00:00:00:fe"
COMMAND_S = 10.0

Way = tuple[str, str]
"""From one to another, by their names."""


class NamespacesError(Exception):
    """They can't be made here, or something can't be done to them; the text says why."""


@attrs.frozen
class _End:
    """Where a name is: its namespace and the addresses there. On the bridge its cable has the name itself."""

    namespace: str
    device: str
    address: str
    hardware: str


class Namespaces:
    """A network, with a namespace for each name.

    Args:
        names: at most 12 letters and digits each.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._hub = _End(f"{PREFIX}{os.getpid()}-hub", "bridge", f"{SUBNET}.1", "02:00:00:00:00:01")
        self._ends: Mapping[str, _End] = {
            name: _End(f"{PREFIX}{os.getpid()}-{name}", "eth0", f"{SUBNET}.{n}", f"02:00:00:00:00:{n:02x}")
            for n, name in enumerate(names, 11)
        }

    def address(self, name: str) -> str:
        return self._ends[name].address

    def command(self, name: str) -> tuple[str, ...]:
        """What the command line of a program begins with that is to run there."""
        return ("nsenter", f"--net={RUN / self._ends[name].namespace}")

    def lose(self, ways: Iterable[Way]) -> None:
        """Let nothing pass from one to another."""
        self._lead(ways, is_lost=True)

    def heal(self, ways: Iterable[Way]) -> None:
        """Let it pass again."""
        self._lead(ways, is_lost=False)

    def unplug(self, name: str) -> None:
        """Take the cable out: what is there reaches nobody, and sees that its device has no carrier."""
        _ip([f"link set dev {name} down"], self._hub.namespace)

    def plug(self, name: str) -> None:
        """Put it in again."""
        _ip([f"link set dev {name} up"], self._hub.namespace)

    def reset(self, name: str, others: Iterable[str]) -> None:
        """Break its connections with others, with a reset on both sides, where the kernel has a way to."""
        addresses = " or ".join(f"dst {self.address(other)}" for other in others)
        _run([*self.command(name), "ss", "--kill", "--tcp", f"( {addresses} )"])

    def _lead(self, ways: Iterable[Way], *, is_lost: bool) -> None:
        by_source: defaultdict[str, list[str]] = defaultdict(list)
        for source, target in ways:
            end = self._ends[target]
            by_source[source].append(_neighbour(end, self._ends[source], NOBODY if is_lost else end.hardware))
        for source, lines in by_source.items():
            _ip(lines, self._ends[source].namespace)

    # Making and removing

    def make(self) -> None:
        """Make all of it. Raises NamespacesError."""
        _ip([f"netns add {end.namespace}" for end in (self._hub, *self._ends.values())])
        lines = ["link set lo up", f"link add name {self._hub.device} type bridge", *_up(self._hub)]
        for name, end in self._ends.items():
            lines += [
                f"link add name {name} type veth peer name {end.device} netns {end.namespace}",
                f"link set dev {name} master {self._hub.device} up",
            ]
        _ip(lines, self._hub.namespace)
        for end in self._ends.values():
            others = [each for each in (self._hub, *self._ends.values()) if each is not end]
            those = [_neighbour(other, end, other.hardware) for other in others]
            _ip(["link set lo up", *_up(end), *those], end.namespace)
        _ip([_neighbour(end, self._hub, end.hardware) for end in self._ends.values()], self._hub.namespace)

    def remove(self) -> None:
        """End what runs there, and remove what there is of it."""
        for end in (*self._ends.values(), self._hub):
            if (RUN / end.namespace).exists():
                _remove(end.namespace)

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Be on the bridge: this thread, and those that it starts."""
        with open("/proc/thread-self/ns/net") as before, open(RUN / self._hub.namespace) as there:
            _enter(there.fileno())
            try:
                yield
            finally:
                _enter(before.fileno())


@contextlib.contextmanager
def namespaces(names: Sequence[str]) -> Iterator[Namespaces]:
    """Be on a network of one's own, whose namespaces go in the end; those of runs that were killed go first.

    Raises:
        NamespacesError: there can be none here.
    """
    network = Namespaces(names)
    try:
        remove_leftovers()
        network.make()
        with network.entered():
            yield network
    finally:
        network.remove()


def remove_leftovers() -> None:
    """Remove what is left of runs that have ended without doing so, and end what runs there."""
    for path in RUN.glob(f"{PREFIX}*"):
        pid = path.name.removeprefix(PREFIX).partition("-")[0]
        if not Path("/proc", pid).exists():
            _remove(path.name)


def _up(end: _End) -> list[str]:
    device = end.device
    return [f"link set dev {device} address {end.hardware} up", f"addr add {end.address}/24 dev {device}"]


def _neighbour(end: _End, seen_from: _End, hardware: str) -> str:
    return f"neigh replace {end.address} lladdr {hardware} dev {seen_from.device} nud permanent"


def _remove(namespace: str) -> None:
    for pid in _run(["ip", "netns", "pids", namespace]).split():
        if int(pid) != os.getpid():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
    _ip([f"netns delete {namespace}"])


def _ip(lines: Sequence[str], namespace: str = "") -> None:
    _run(["ip", *(["-netns", namespace] if namespace else []), "-batch", "-"], "\n".join(lines))


def _run(argv: Sequence[str], text: str = "") -> str:
    """Run a command; gives its output. Raises NamespacesError."""
    try:
        done = subprocess.run(argv, input=text, capture_output=True, text=True, timeout=COMMAND_S, check=True)
    except subprocess.CalledProcessError as error:
        raise NamespacesError(str(error.stderr).strip().partition("\n")[0] or str(error)) from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NamespacesError(str(error)) from None
    return done.stdout


def _enter(namespace: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace, 0x40000000):  # CLONE_NEWNET; `os.setns` comes with Python 3.12
        raise NamespacesError(os.strerror(ctypes.get_errno()))
