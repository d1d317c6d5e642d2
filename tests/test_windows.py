"""What Windows does not have is not imported there: the modules of Unix are taken away, and the broker imported."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]

PROGRAM = """
import sys, types
# These look at the platform themselves:
import asyncio, hypercorn.trio, hypercorn.config, psutil, trio, starlette.requests
for name in ("fcntl", "grp", "pwd", "resource", "termios", "tty"):
    sys.modules[name] = None
sys.modules["msvcrt"] = types.ModuleType("msvcrt")
sys.platform = "win32"
import amqp_broker.cli.main, amqp_broker.embedding, amqp_broker.management.api
import amqp_broker.control.commands, amqp_broker.net.link_tasks
"""


def test_everything_that_a_broker_needs_can_be_imported_without_unix() -> None:
    path = f"{ROOT}{os.pathsep}{ROOT / 'codec'}"
    subprocess.run([sys.executable, "-c", PROGRAM], env={**os.environ, "PYTHONPATH": path}, check=True)
