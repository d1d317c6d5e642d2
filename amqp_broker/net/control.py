"""The control socket: requests of `amqp-brokerctl`, one line of JSON each, and answers in lines.

A request's `content_octets` says how many octets follow it: a file of definitions.

Whoever may write to the socket may do everything, so it is in a directory, and has a mode, that let only the
broker's own user in. A long list is told in slices, so that clients are served in between.

In a cluster other nodes ask in the same form for what is here, on a stream that only a node can have.
"""

from __future__ import annotations

import json
import logging
import math
import socket
import stat
import time
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import attrs
import trio

from amqp_broker.administration.errors import AdministrationError
from amqp_broker.administration.left import Left
from amqp_broker.control.errors import EXIT_DATA, EXIT_SOFTWARE, EXIT_USAGE, ControlError
from amqp_broker.control.request import Answer, Request
from amqp_broker.ctl.places import make_private
from amqp_broker.inspection.node import Node
from amqp_broker.net.turns import SLICE_S, until_stored
from amqp_broker.placement import Inquiry

log = logging.getLogger(__name__)

SUBJECT: Final = "control"
"""Of the questions of other nodes that are answered here."""

LARGEST_CONTENT_OCTETS: Final = 64 * 1024 * 1024
"""What a request is about can come after it: definitions at most."""

LARGEST_LINE_OCTETS: Final = 1024 * 1024

READ_OCTETS: Final = 256 * 1024

SIGN_S: Final = 5.0
"""How often another node gets a sign of life, an empty line, while it waits for what takes long."""

SILENCE_S: Final = 30.0
"""For which a node may say nothing that asks something, or has been asked."""

SLICE: Final = 100
"""Answers between two looks at what else there is to do; a row takes about 10 µs."""

BACKLOG: Final = 16


async def serve_control(
    node: Node, path: Path, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Serve until cancelled, then take the socket away.

    Without a socket the broker runs all the same: what can't be opened is told in the log.
    """
    try:
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(_listening(path)))
    except OSError as error:
        log.warning("no control socket at %s: %s; amqp-brokerctl won't find this broker", path, error)
        task_status.started()
        return
    try:
        task_status.started()
        await trio.serve_listeners(partial(_serve, node), [listener])
    finally:
        _take_away(path)


def _listening(path: Path) -> socket.socket:
    """Make the socket, in place of one whose broker ended without taking it away. Raises OSError."""
    make_private(path.parent)
    if path.exists() and stat.S_ISSOCK(path.lstat().st_mode):
        path.unlink()  # the directory, or the port, is ours now
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.bind(str(path))
        path.chmod(0o600)  # nobody can connect before it listens
        sock.listen(BACKLOG)
    except BaseException:
        sock.close()
        raise
    return sock


def _take_away(path: Path) -> None:
    path.unlink(missing_ok=True)


async def answer_node(node: Node, _inquiry: Inquiry, stream: trio.abc.HalfCloseableStream) -> None:
    """Answer another node; what is not here is not looked for elsewhere."""
    await _serve(node, stream, is_passed_on=True)


async def _serve(node: Node, stream: trio.abc.Stream, *, is_passed_on: bool = False) -> None:
    try:
        async with stream:
            with trio.fail_after(SILENCE_S if is_passed_on else math.inf):
                line, rest = await _read_line(stream)
            if line:
                await _answer(node, line, rest, stream, is_passed_on=is_passed_on)
    except (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError):
        log.debug("control: the client is gone")
    except Exception:
        log.exception("control: internal error")


async def _read_line(stream: trio.abc.Stream) -> tuple[bytes, bytes]:
    """The request without its line end, empty when there is none, and what has come after it."""
    received = bytearray()
    while b"\n" not in received:
        data = await stream.receive_some(READ_OCTETS)
        received += data
        if not data or len(received) > LARGEST_LINE_OCTETS + READ_OCTETS:
            return b"", b""
    line, _, rest = bytes(received).partition(b"\n")
    return line, rest


async def _read_content(stream: trio.abc.Stream, rest: bytes, octets: int, silence_s: float) -> bytes:
    """What comes with a request. Raises ControlError, and trio.TooSlowError where nothing comes for so long."""
    if not 0 <= octets <= LARGEST_CONTENT_OCTETS:
        raise ControlError(f"more than {LARGEST_CONTENT_OCTETS >> 20} MiB is not taken", EXIT_DATA)
    received = bytearray(rest)
    while len(received) < octets:
        with trio.fail_after(silence_s):
            data = await stream.receive_some(READ_OCTETS)
        if not data:
            raise trio.BrokenResourceError("the client is gone")
        received += data
    return bytes(received)


async def _answer(node: Node, line: bytes, rest: bytes, stream: trio.abc.Stream, *, is_passed_on: bool) -> None:
    end: dict[str, Any] = {"exit": 0}
    stored_before = node.broker.stored_count
    try:
        name, request, content_octets = _request_of(line)
        if content_octets:
            silence_s = SILENCE_S if is_passed_on else math.inf
            request = attrs.evolve(request, content=await _read_content(stream, rest, content_octets, silence_s))
        if is_passed_on or node.cluster is None:
            await _run(node, name, request, stream, is_passed_on=is_passed_on)
        else:
            await _run_in_cluster(node, name, request, line + b"\n" + request.content, stream)
        await until_stored(node.broker, stored_before)
    except ControlError as error:
        end = {"exit": error.status, "error": error.text}
    except (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError):
        raise
    except Exception:
        log.exception("control: internal error")
        end = {"exit": EXIT_SOFTWARE, "error": "Error:\ninternal error, see the log of the broker"}
    await stream.send_all(_line(end))


async def _run_in_cluster(node: Node, name: str, request: Request, octets: bytes, stream: trio.abc.Stream) -> None:
    """Have a command carried out by the nodes that it is for, one after the other. Raises ControlError."""
    from amqp_broker.control.cluster import JOINS, route_of
    from amqp_broker.net.passing_on import ask

    cluster = node.cluster
    assert cluster is not None
    route = route_of(node, cluster, name, request)
    join = JOINS.get(name) if route.others else None
    told: list[bytes] = []

    async def hear(lines: Sequence[bytes]) -> None:
        if join is not None:
            told.extend(lines)
        elif lines:
            await stream.send_all(b"".join(each + b"\n" for each in lines))

    refusal: ControlError | None = None
    for each in route.nodes(node.name):
        try:
            if each != node.name:
                await ask(cluster, each, octets, hear)
            elif join is None:
                await _run(node, name, request, stream, is_passed_on=False)
            else:
                told += [_line_of(answer) for answer in _answers(node, name, request) if isinstance(answer, str)]
        except OSError as error:
            raise ControlError(f"node {each} does not answer: {error}") from None
        except ControlError as error:
            if not route.is_first_enough:
                raise
            refusal = refusal or error
        else:
            if route.is_first_enough:
                return
    if refusal is not None:
        raise refusal
    if join is not None:
        await stream.send_all(b"".join(_line_of(answer) for answer in join([json.loads(line) for line in told])))


def _answers(node: Node, name: str, request: Request) -> Iterable[Answer]:
    from amqp_broker.control.commands import run  # which needs much that a broker starts without

    return run(node, name, request)


async def _run(node: Node, name: str, request: Request, stream: trio.abc.Stream, *, is_passed_on: bool) -> None:
    waiting: list[bytes] = []
    ends = time.perf_counter() + SLICE_S
    sign_at = trio.current_time() + SIGN_S
    for answer in _answers(node, name, request):
        if isinstance(answer, Left):
            if is_passed_on:
                raise ControlError("what that is about is not on this node")
            await _deliver(node, answer)
            continue
        if answer is None:
            if time.perf_counter() >= ends:
                await trio.lowlevel.checkpoint()
                if is_passed_on and trio.current_time() >= sign_at:
                    await stream.send_all(b"\n")
                    sign_at = trio.current_time() + SIGN_S
                ends = time.perf_counter() + SLICE_S
            continue
        waiting.append(_line_of(answer))
        if len(waiting) >= SLICE:
            await stream.send_all(b"".join(waiting))
            waiting.clear()
    if waiting:
        await stream.send_all(b"".join(waiting))


def _request_of(line: bytes) -> tuple[str, Request, int]:
    """Read a request, and how many octets come with it. Raises ControlError."""
    try:
        fields = json.loads(line)
        request = Request(
            vhost=str(fields.get("vhost", "/")),
            arguments=list(fields.get("arguments", ())),
            options=dict(fields.get("options", {})),
            columns=[str(column) for column in fields.get("columns", ())],
            node=str(fields.get("node", "")),
        )
        return str(fields["command"]), request, int(fields.get("content_octets", 0))
    except (ValueError, TypeError, KeyError, AttributeError):
        raise ControlError("the request has no such form", EXIT_USAGE) from None


async def _deliver(node: Node, left: Left) -> None:
    """See `deliver`. Raises ControlError."""
    from amqp_broker.control.administration import as_control_error
    from amqp_broker.net.passing_on import deliver

    try:
        await deliver(node, left)
    except AdministrationError as error:
        raise as_control_error(error) from None


def _line_of(answer: dict[str, Any] | str) -> bytes:
    return _line({"line": answer} if isinstance(answer, str) else {"row": answer})


def _line(answer: dict[str, Any]) -> bytes:
    return json.dumps(answer).encode() + b"\n"
