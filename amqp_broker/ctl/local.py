"""What some commands do on this side: files, waiting, connecting; the others only ask and show."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from amqp_broker.ctl import asking

if TYPE_CHECKING:
    from amqp_broker.ctl.main import Call

LOOK_S: Final = 0.1
"""How often somebody who waits for a start looks."""

Answers = Iterable[dict[str, Any] | str]


TAIL_OCTETS: Final = 1024 * 1024
"""What is looked at for the last lines of a log."""


class InputError(Exception):
    """A file or standard input has not what it should."""


def version(call: Call) -> int:
    """The version that the broker tells; without a broker, nothing to tell."""
    with asking.connect(call.socket_path, call.timeout_s) as connection:
        for answer in asking.ask(connection, call.request | {"command": "server_version"}):
            print(answer)
    return 0


def await_startup(call: Call) -> int:
    """Wait until the broker says that it is ready."""
    ends_at = time.monotonic() + call.timeout_s
    while True:
        try:
            with asking.connect(call.socket_path, max(0.1, ends_at - time.monotonic())) as connection:
                list(asking.ask(connection, call.request | {"command": "check_running"}))
                return 0
        except (asking.NotReachableError, asking.FailedError):
            if time.monotonic() >= ends_at:
                raise TimeoutError from None
        time.sleep(LOOK_S)


def wait(call: Call) -> int:
    """Wait for a process, from a file with its id or given, to be ready."""
    ends_at = time.monotonic() + call.timeout_s
    if call.arguments:
        path = Path(call.arguments[0])
        print(f"Waiting for pid file '{path}' to appear")
        while not path.exists() or not path.read_text("ascii", "replace").strip():
            if time.monotonic() >= ends_at:
                raise TimeoutError
            time.sleep(LOOK_S)
        pid = path.read_text("ascii", "replace").split()[0]
    else:
        pid = str(call.options.get("pid", ""))
    if not pid.isdigit():
        raise InputError("wait needs a pid file, or a process id with --pid")
    print(f"pid is {pid}")
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        print(f"Error:\nprocess_not_running (pid {pid})", file=sys.stderr)
        return 69
    except PermissionError:
        pass  # somebody else's, but there
    print(f"Waiting for applications 'rabbit_and_plugins' to start on node '{call.node}'")
    status = await_startup(call)
    print(f"Applications 'rabbit_and_plugins' are running on node '{call.node}'")
    return status


def hash_password(call: Call) -> int:
    """Salt and hash as users have them, in base64."""
    import base64
    import hashlib

    salt = os.urandom(4)
    digest = hashlib.sha256(salt + _secret(call, 0).encode()).digest()
    print(base64.b64encode(salt + digest).decode())
    return 0


def check_port_connectivity(call: Call) -> int:
    """Connect to every port the broker listens on."""
    with asking.connect(call.socket_path, call.timeout_s) as connection:
        listeners = [
            answer for answer in asking.ask(connection, call.request) if isinstance(answer, dict) and answer["port"]
        ]
    host = call.options.get("address") or call.node.partition("@")[2]
    ports = sorted({listener["port"] for listener in listeners})
    failed: list[str] = []
    for listener in listeners:
        interface = listener["interface"]
        target = host if interface in ("[::]", "0.0.0.0") else interface.strip("[]")
        print(f"Will connect to {target}:{listener['port']}")
        try:
            socket.create_connection((target, listener["port"]), timeout=call.timeout_s).close()
        except OSError as error:
            failed.append(f"{listener['port']} ({error.strerror or error})")
    if failed:
        print(f"Error:\nConnection to ports {', '.join(failed)} failed", file=sys.stderr)
        return 69
    shown = ", ".join(map(str, ports))
    print(f"Successfully connected to ports {shown} on node {call.node} (using node hostname resolution)")
    return 0


def log_tail(call: Call) -> int:
    """The last lines of the log."""
    text = call.options.get("number", "50")
    if not text.isdigit():
        raise InputError(f"number: {text!r} is no number of lines")
    with _log_of(call) as log:
        log.seek(max(0, log.seek(0, os.SEEK_END) - TAIL_OCTETS))
        lines = log.read().decode("utf-8", "replace").splitlines()
    for line in lines[len(lines) - min(len(lines), int(text)) :]:
        print(line)
    return 0


def log_tail_stream(call: Call) -> int:
    """What is logged from now on, for some seconds or until somebody interrupts."""
    text = call.options.get("duration", "infinity")
    if not text.isdigit() and text != "infinity":
        raise InputError(f"duration: {text!r} is no number of seconds")
    ends_at = time.monotonic() + float(text)
    with _log_of(call) as log:
        log.seek(0, os.SEEK_END)
        while time.monotonic() < ends_at:
            sys.stdout.write(log.read().decode("utf-8", "replace"))
            sys.stdout.flush()
            time.sleep(LOOK_S)
    return 0


def _log_of(call: Call) -> BinaryIO:
    """The log's file. Raises InputError when there is none or it can't be read."""
    with asking.connect(call.socket_path, call.timeout_s) as connection:
        answers = asking.ask(connection, call.request | {"command": "log_location"})
        paths = [answer for answer in answers if isinstance(answer, str) and not answer.startswith("<")]
    if not paths:
        raise InputError("the log goes to the console only; log.file names a file for it")
    try:
        return Path(paths[0]).open("rb")
    except OSError as error:
        raise InputError(f"can't read {paths[0]}: {error.strerror}") from None


def _secret(call: Call, index: int) -> str:
    """A password: an argument, or the first line of standard input."""
    if len(call.arguments) > index:
        return call.arguments[index]
    if sys.stdin.isatty():
        import getpass

        return getpass.getpass()
    text = sys.stdin.readline().rstrip("\r\n")
    if not text:
        raise InputError("Password is not provided via argument or stdin")
    return text


def _with_secret(call: Call) -> dict[str, Any]:
    return call.request | {"arguments": [call.arguments[0], _secret(call, 1)]}


def _definitions(call: Call) -> dict[str, Any]:
    name = call.arguments[0] if call.arguments else "-"
    try:
        content = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise InputError(f"can't read {name}: {error}") from None
    if not content.strip():
        raise InputError(f"{name} is empty")
    return call.request | {"arguments": [], "content": content}


def _export(call: Call, answers: Answers, _where: Path) -> int:
    text = "".join(answer for answer in answers if isinstance(answer, str))
    if call.arguments[0] == "-":
        print(text)
        return 0
    try:
        Path(call.arguments[0]).write_text(text, "utf-8")
    except OSError as error:
        raise InputError(f"can't write {call.arguments[0]}: {error.strerror}") from None
    return 0


def _until_gone(call: Call, answers: Answers, where: Path) -> int:
    """Wait until the broker has written what it has to, and its process ends."""
    for answer in answers:
        print(answer)
    ends_at = time.monotonic() + call.timeout_s
    while "no-wait" not in call.options:
        try:
            asking.connect(where, call.timeout_s).close()
        except asking.NotReachableError:
            break
        if time.monotonic() >= ends_at:
            raise TimeoutError
        time.sleep(LOOK_S)
    return 0


COMMANDS: Final[Mapping[str, Callable[[Call], int]]] = {
    "version": version,
    "await_startup": await_startup,
    "wait": wait,
    "hash_password": hash_password,
    "check_port_connectivity": check_port_connectivity,
    "log_tail": log_tail,
    "log_tail_stream": log_tail_stream,
}
"""Done here altogether."""

REQUESTS: Final[Mapping[str, Callable[[Call], dict[str, Any]]]] = {
    "add_user": _with_secret,
    "change_password": _with_secret,
    "authenticate_user": _with_secret,
    "import_definitions": _definitions,
}
"""Where the request has more than arguments and options."""

ANSWERS: Final[Mapping[str, Callable[[Call, Answers, Path], int]]] = {
    "export_definitions": _export,
    "stop": _until_gone,
    "shutdown": _until_gone,
}
"""Where the answer of the broker, whose socket is named, is not just shown."""
