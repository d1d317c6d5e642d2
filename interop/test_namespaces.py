"""Networks of namespaces lose what they are to lose, and leave nothing behind."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from interop.namespaces import PREFIX, RUN, Namespaces, NamespacesError, namespaces, remove_leftovers
from interop.processes import DEADLINE_S, LineProcess, python_environment

ECHO = """
import socket, sys
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind((sys.argv[1], 7000))
print("ready", flush=True)
for line in sys.stdin:
    word, host = line.split()
    if word == "send":
        sock.sendto(b"hello", (host, 7000))
        print("sent", flush=True)
    else:
        sock.settimeout(0.2 if word == "nothing" else 10)
        try:
            print(sock.recv(100).decode(), flush=True)
        except TimeoutError:
            print("nothing", flush=True)
"""


class Ends:
    """A program in each of two namespaces."""

    def __init__(self, network: Namespaces) -> None:
        self.network = network
        self._programs = {
            name: LineProcess(
                [*network.command(name), sys.executable, "-c", ECHO, network.address(name)], env=python_environment()
            )
            for name in ("a", "b")
        }
        for program in self._programs.values():
            program.wait_line("ready")

    def passes(self, source: str, target: str, expected: bool) -> bool:
        self._programs[source].write_line(f"send {self.network.address(target)}")
        self._programs[source].wait_line("sent")
        self._programs[target].write_line(f"{'something' if expected else 'nothing'} x")
        return self._programs[target].wait_line() == "hello"

    def kill(self) -> None:
        for program in self._programs.values():
            program.kill()


@pytest.fixture
def network() -> Iterator[Namespaces]:
    with ExitStack() as stack:
        try:
            network = stack.enter_context(namespaces(["a", "b"]))
        except NamespacesError as error:
            pytest.skip(f"no network namespaces can be made here: {error}")
        yield network


@pytest.fixture
def ends(network: Namespaces) -> Iterator[Ends]:
    ends = Ends(network)
    yield ends
    ends.kill()


def test_a_link_is_cut_in_one_direction_and_healed(ends: Ends) -> None:
    assert ends.passes("a", "b", True)
    ends.network.lose([("a", "b")])
    assert not ends.passes("a", "b", False)
    assert ends.passes("b", "a", True)
    ends.network.heal([("a", "b")])
    assert ends.passes("a", "b", True)
    ends.network.unplug("b")
    assert not ends.passes("a", "b", False)
    ends.network.plug("b")
    assert ends.passes("a", "b", True)


def test_the_machines_own_network_is_not_there(network: Namespaces) -> None:
    assert [name for _, name in socket.if_nameindex()] == ["lo", "bridge", "a", "b"]


def test_what_a_killed_run_left_is_removed_and_ended(network: Namespaces) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait(DEADLINE_S)
    name = f"{PREFIX}{ended.pid}-a"
    subprocess.run(["ip", "netns", "add", name], check=True)
    program = subprocess.Popen(["nsenter", f"--net={RUN / name}", "sleep", "1000"])
    try:
        while os.readlink(f"/proc/{program.pid}/ns/net") == os.readlink("/proc/self/ns/net"):
            assert program.poll() is None
        remove_leftovers()
        assert program.wait(DEADLINE_S) != 0
    finally:
        program.kill()
    assert not (RUN / name).exists()
    assert len(list(RUN.glob(f"{PREFIX}{os.getpid()}-*"))) == 3
