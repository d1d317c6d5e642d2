"""Where the blocks of one page run: a directory, free ports, and processes that end with it."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Final

from tests.docs.blocks import ROOT, Block

DEADLINE_S: Final = 120.0

PORTS: Final = {
    "5671": "",
    "5672": "AMQP_BROKER_PORT",
    "15672": "AMQP_BROKER_MANAGEMENT_TCP_PORT",
    "15692": "AMQP_BROKER_PROMETHEUS_TCP_PORT",
}
"""The ports that pages speak of, each of which becomes a free one, and the variables that tell the broker.

For TLS there is no port without a setting.
"""

_COMMAND: Final = '#!/bin/sh\nexec "{python}" -m {module} "$@"\n'


class Stage:
    """Runs the blocks of a page in order.

    Args:
        directory: empty, and its own.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._printed = ""
        self._started: list[subprocess.Popen[str]] = []
        self._ports = {port: str(_free_port()) for port in PORTS}
        commands = directory / ".bin"
        commands.mkdir()
        for name, module in (("amqp-broker", "amqp_broker"), ("amqp-brokerctl", "amqp_broker.ctl")):
            (commands / name).write_text(_COMMAND.format(python=sys.executable, module=module))
            (commands / name).chmod(0o755)
        python = Path(sys.executable).parent
        paths = [str(ROOT), str(ROOT / "codec"), str(directory), os.environ.get("PYTHONPATH", "")]
        self._environment = os.environ | {
            "AMQP_BROKER_DATA_DIR": str(directory / ".data"),
            "HOME": str(directory),
            "PATH": f"{commands}:{python}:{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # ours is named; the import of others takes seconds
            "PYTHONUNBUFFERED": "1",
            "XDG_RUNTIME_DIR": str(directory),
            **{variable: self._ports[port] for port, variable in PORTS.items() if variable},
        }

    def play(self, block: Block) -> None:
        """Do what is to be done with a block. Raises AssertionError when it does not do what the page says."""
        code = self._with_our_ports(block.code)
        match block.verb:
            case "run" if block.language == "python":
                (self._directory / "block.py").write_text(code)
                self._run([sys.executable, "block.py"])
            case "run":
                self._run(["bash", "-euo", "pipefail", "-c", code])
            case "start":
                self._start(code)
            case "pytest":
                (self._directory / "test_block.py").write_text(code)
                self._run([sys.executable, "-m", "pytest", "-q", "-p", "amqp_broker.pytest_plugin", "test_block.py"])
            case "file":
                path = self._directory / block.name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(code)
            case "output":
                pattern = re.escape(code.strip()).replace("…", ".*")
                assert re.search(pattern, self._printed), f"expected\n{code}\nfound\n{self._printed}"

    def close(self) -> None:
        """End what was started."""
        for process in reversed(self._started):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            try:
                process.communicate(timeout=DEADLINE_S)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()

    def _with_our_ports(self, code: str) -> str:
        return re.sub(r"\b(?:5671|5672|15672|15692)\b", lambda found: self._ports[found[0]], code)

    def _run(self, command: list[str]) -> None:
        done = subprocess.run(
            command,
            cwd=self._directory,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=DEADLINE_S,
        )
        self._printed = done.stdout
        assert done.returncode == 0, done.stdout

    def _start(self, code: str) -> None:
        errors = self._directory / ".errors"
        with errors.open("w") as written:
            process = subprocess.Popen(
                ["bash", "-euo", "pipefail", "-c", code],
                cwd=self._directory,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=written,
                text=True,
                start_new_session=True,
            )
        self._started.append(process)
        threading.Thread(target=process.wait, daemon=True).start()  # a block may stop it and wait until it is gone
        assert process.stdout is not None
        timer = threading.Timer(DEADLINE_S, process.kill)
        timer.start()
        line = process.stdout.readline()
        timer.cancel()
        self._printed = line
        assert line, f"ended, or said nothing:\n{errors.read_text()}"


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port
