"""Ports for programs that have to be told one."""

from __future__ import annotations

import contextlib
import random
import socket

_RANGE = range(20_000, 32_000)
"""Below what systems give to whoever asks for any port, outgoing connections too: programs take a while to start."""


def free_ports(count: int) -> list[int]:
    """Distinct ports that nobody listens on."""
    with contextlib.ExitStack() as stack:
        ports: list[int] = []
        # Not from a seed that tests share: processes beside this one pick theirs in the same range.
        for port in random.SystemRandom().sample(_RANGE, len(_RANGE)):
            with contextlib.suppress(OSError):
                stack.enter_context(socket.create_server(("127.0.0.1", port)))
                ports.append(port)
            if len(ports) == count:
                return ports
    raise OSError(f"no {count} free ports in {_RANGE}")
