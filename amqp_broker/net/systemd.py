"""What systemd offers a service: sockets it has opened already, and the wish to hear how it fares.

Source: sd_listen_fds(3), sd_notify(3), sd_watchdog_enabled(3).
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import MutableMapping
from typing import Final

import attrs
import trio

log = logging.getLogger(__name__)

FIRST_DESCRIPTOR: Final = 3


@attrs.frozen
class Inherited:
    """A socket that was open before this process began.

    Attributes:
        name: as `FileDescriptorName=` in the socket unit says.
    """

    socket: socket.socket
    name: str


def inherited_sockets(environment: MutableMapping[str, str], first: int = FIRST_DESCRIPTOR) -> list[Inherited]:
    """Take over what systemd has opened for this process; a second time there is nothing.

    Args:
        environment: of the process; what concerns these sockets is taken out, so that no child believes it.
        first: the first descriptor.

    Raises:
        OSError: what was handed over is no socket.
    """
    process, count = environment.pop("LISTEN_PID", ""), environment.pop("LISTEN_FDS", "")
    names = environment.pop("LISTEN_FDNAMES", "").split(":")
    if process != str(os.getpid()) or not count.isdecimal():
        return []
    found = []
    for index in range(int(count)):
        os.set_inheritable(first + index, False)
        name = names[index] if index < len(names) else ""
        found.append(Inherited(socket.socket(fileno=first + index), name))
    return found


class Notifier:
    """Tells systemd how the service fares, where systemd wants to know."""

    def __init__(self, environment: MutableMapping[str, str]) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        interval, process = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", "")
        is_meant = not process or process == str(os.getpid())
        self._watchdog_s = int(interval) / 1e6 if interval.isdecimal() and is_meant else 0.0

    def tell(self, state: str) -> None:
        """Send a state such as `READY=1`; that nobody listens is no error."""
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.setblocking(False)
                sender.sendto(state.encode(), self._address)
        except OSError as error:
            log.debug("systemd: %s was not told: %s", state, error)

    async def feed_watchdog(self) -> None:
        """Say twice an interval that the event loop turns, until cancelled."""
        if not (self._address and self._watchdog_s):
            return
        while True:
            self.tell("WATCHDOG=1")
            await trio.sleep(self._watchdog_s / 2)
