"""`amqp-broker shovel`: messages of queues from one broker to another, until the queues are empty."""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import attrs
import trio

from amqp_broker.cli.parser import EXIT_OK, OneLineParser, UsageError
from amqp_broker.links.machine import LinkError
from amqp_broker.links.uri import InvalidUriError, Uri
from amqp_broker.net.client import ClientConnection, connected
from amqp_broker.net.linking import flat
from amqp_broker.net.mover import CHANNEL, Mover, Route, to_exchange, to_queue
from amqp_codec import (
    BasicCancel,
    BasicCancelOk,
    BasicDeliver,
    ContentHeader,
    QueueDeclare,
    QueueDeclareOk,
    encode_content_header,
)

PROG: Final = "amqp-broker shovel"
EXIT_FAILED: Final = 1
EXIT_INTERRUPTED: Final = 130
CONSUMER_TAG: Final = "amqp-broker-shovel"
CONTROL_CHANNEL: Final = 2
"""For what may fail, or is asked while messages flow."""

LOOK_S: Final = 0.5
PREFETCH_COUNT: Final = 1000
RETRY_S: Final = 60.0
FIRST_PAUSE_S: Final = 0.2
LONGEST_PAUSE_S: Final = 10.0


@attrs.frozen
class Job:
    """What is to be moved.

    Attributes:
        queues: names at the source, and what each is called at the destination.
        exchange: to publish to with each message's own routing key; None for the queues.
        follows: goes on when a queue is empty.
        retry_s: how long a broker may be away, with nothing moved, before it is given up.
    """

    source: Uri
    destination: Uri
    queues: dict[str, str]
    exchange: str | None
    limit: int | None
    prefetch_count: int
    follows: bool
    retry_s: float
    drops_user_id: bool


def main(arguments: Sequence[str]) -> int:
    """Run the command; gives the exit status. Raises UsageError."""
    job = _job(_parser().parse_args(arguments))
    with shown_progress() as progress:
        status = trio.run(_run, job, progress)
    for queue, moved in progress.moved.items():
        print(f"{queue}: {moved:,} moved")
    if progress.problem:
        print(f"{PROG}: {progress.problem}", file=sys.stderr)
    return int(status)


class Progress:
    """What has been moved, and how it is shown."""

    def __init__(self) -> None:
        self.moved: dict[str, int] = {}
        self.problem = ""

    def begin(self, queue: str, total: int) -> None:
        """So many messages are there."""

    def show(self, queue: str, moved: int) -> None:
        """So many are safe at the destination."""

    def say(self, text: str) -> None:
        """Something happened that may concern the user."""
        print(f"{PROG}: {text}", file=sys.stderr)


class _Lines(Progress):
    """A line now and then, where standard error is no terminal."""

    EVERY_S: Final = 10.0

    def __init__(self) -> None:
        super().__init__()
        self._said_at = time.monotonic()

    def show(self, queue: str, moved: int) -> None:
        if time.monotonic() - self._said_at >= self.EVERY_S:
            self._said_at = time.monotonic()
            self.say(f"{queue}: {moved:,} moved so far")


class _Bars(Progress):
    """A bar for each queue. Needs rich."""

    def __init__(self, bars: Any) -> None:
        super().__init__()
        self._bars = bars
        self._tasks: dict[str, Any] = {}

    def begin(self, queue: str, total: int) -> None:
        if queue not in self._tasks:
            self._tasks[queue] = self._bars.add_task(queue, total=total)
        else:
            self._bars.update(self._tasks[queue], total=self.moved.get(queue, 0) + total)

    def show(self, queue: str, moved: int) -> None:
        self._bars.update(self._tasks[queue], completed=moved)

    def say(self, text: str) -> None:
        self._bars.console.print(f"{PROG}: {text}", highlight=False)


@contextlib.contextmanager
def shown_progress() -> Iterator[Progress]:
    """Bars on a terminal, if rich is installed; lines elsewhere."""
    if sys.stderr.isatty():
        with contextlib.suppress(ImportError):
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as RichProgress

            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            with RichProgress(*columns, console=Console(stderr=True)) as bars:
                yield _Bars(bars)
            return
    yield _Lines()


async def _run(job: Job, progress: Progress) -> int:
    """Move queue after queue; the first signal ends in order, with all settled that is on its way."""
    stopping = trio.Event()
    status = EXIT_OK
    async with trio.open_nursery() as nursery:
        await nursery.start(_watch_signals, stopping)
        for queue, name in job.queues.items():
            try:
                await _move_with_patience(job, queue, name, progress, stopping)
            except LinkError as error:
                progress.problem = f"{queue}: {error}{_hint(error)}"
                status = EXIT_FAILED
                break
            if stopping.is_set():
                status = EXIT_INTERRUPTED
                break
        nursery.cancel_scope.cancel()
    return status


def _hint(error: LinkError) -> str:
    if "user_id" in str(error):
        return "; give the destination's user the tag impersonator, or use --without-user-id"
    return ""


async def _watch_signals(stopping: trio.Event, *, task_status: trio.TaskStatus[None]) -> None:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        task_status.started()
        async for number in signals:
            if stopping.is_set():
                raise SystemExit(128 + number)
            stopping.set()


async def _move_with_patience(job: Job, queue: str, name: str, progress: Progress, stopping: trio.Event) -> None:
    """Move a queue, connecting anew as long as something moves. Raises LinkError."""
    pause_s = FIRST_PAUSE_S
    patience_ends = trio.current_time() + job.retry_s
    progress.moved.setdefault(queue, 0)
    while True:
        before = progress.moved[queue]
        try:
            await _connect_and_move(job, queue, name, progress, stopping)
            return
        except* LinkError as group:
            error = _first(group)
        if progress.moved[queue] > before:
            pause_s, patience_ends = FIRST_PAUSE_S, trio.current_time() + job.retry_s
        if error.is_lasting or stopping.is_set() or trio.current_time() + pause_s > patience_ends:
            raise error
        progress.say(f"{error}; trying again")
        with trio.move_on_after(pause_s):
            await stopping.wait()
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)


def _first(group: BaseExceptionGroup[LinkError]) -> LinkError:
    """The error that says most: a lasting one before one that follows from it."""
    return max(flat(group), key=lambda error: (error.is_lasting, error.code != 0))


async def _connect_and_move(job: Job, queue: str, name: str, progress: Progress, stopping: trio.Event) -> None:
    before = progress.moved[queue]
    limit = None if job.limit is None else job.limit - before
    async with (
        connected(job.destination, "/", name=f"{PROG} to {name}") as destination,
        connected(job.source, "/", name=f"{PROG} from {queue}") as source,
    ):
        for connection in (source, destination):
            await connection.open_channel(CHANNEL)
            await connection.open_channel(CONTROL_CHANNEL)
        if job.exchange is None:
            await _count(destination, name)
        total = await _count(source, queue)
        progress.begin(queue, total if limit is None else min(total, limit))
        route: Route = to_queue(name) if job.exchange is None else to_exchange(job.exchange, None)
        change = _without_user_id if job.drops_user_id else None
        mover = Mover(source, destination, route, change=change, limit=limit, is_mandatory=True)
        try:
            if limit != 0:
                await mover.start(queue, prefetch_count=job.prefetch_count, consumer_tag=CONSUMER_TAG)
                await _until_done(mover, source, queue, job, progress, before, stopping)
        finally:
            progress.moved[queue] = before + mover.moved


async def _count(connection: ClientConnection, queue: str) -> int:
    """How many messages wait in a queue. Raises ChannelClosedError."""
    declared = await connection.call(CONTROL_CHANNEL, QueueDeclare(queue=queue, passive=True), QueueDeclareOk)
    return declared.message_count


async def _until_done(
    mover: Mover,
    source: ClientConnection,
    queue: str,
    job: Job,
    progress: Progress,
    before: int,
    stopping: trio.Event,
) -> None:
    """Wait until the queue is empty, enough has been moved, or the user has had enough."""
    async with trio.open_nursery() as nursery:

        async def wait_stopping() -> None:
            await stopping.wait()
            nursery.cancel_scope.cancel()

        async def wait_finished() -> None:
            await mover.finished.wait()
            nursery.cancel_scope.cancel()

        async def wait_empty() -> None:
            while True:
                mover.settled = trio.Event()
                with trio.move_on_after(LOOK_S):
                    await mover.settled.wait()
                progress.show(queue, before + mover.moved)
                if job.follows or mover.pending or await _count(source, queue) or mover.pending:
                    continue
                nursery.cancel_scope.cancel()
                return

        nursery.start_soon(wait_stopping)
        nursery.start_soon(wait_finished)
        nursery.start_soon(wait_empty)
    await source.call(CHANNEL, BasicCancel(consumer_tag=CONSUMER_TAG), BasicCancelOk)
    while mover.pending:
        mover.settled = trio.Event()
        await mover.settled.wait()
    progress.show(queue, before + mover.moved)


def _without_user_id(_deliver: BasicDeliver, header: ContentHeader) -> bytes:
    properties = header.properties
    if properties.user_id is None:
        return header.raw
    return encode_content_header(replace(properties, user_id=None), header.body_size)


# Arguments


def _job(options: argparse.Namespace) -> Job:
    queues = dict(options.queue)
    for path in options.queues_of:
        for name in queues_in(path, options.source.vhost or "/"):
            queues.setdefault(name, name)
    if not queues:
        raise UsageError(f"say which queues to move, with --queue or --queues-of; see {PROG} --help")
    return Job(
        source=options.source,
        destination=options.destination,
        queues=queues,
        exchange=options.to_exchange,
        limit=options.count,
        prefetch_count=options.prefetch,
        follows=options.follow,
        retry_s=options.retry,
        drops_user_id=options.without_user_id,
    )


def queues_in(path: Path, vhost: str) -> list[str]:
    """The queues that a file of definitions has in a vhost; streams keep what was read, and are left out."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return [
            queue["name"]
            for queue in found["queues"]
            if queue.get("vhost", vhost) == vhost
            and (queue.get("arguments") or {}).get("x-queue-type") != "stream"
            and queue.get("type") != "stream"
        ]
    except OSError as error:
        raise UsageError(f"can't read {path}: {error.strerror}") from None
    except (ValueError, LookupError, TypeError, AttributeError):
        raise UsageError(f"{path} is no file of definitions") from None


def _uri(text: str) -> Uri:
    try:
        uri = Uri.parse(text)
    except InvalidUriError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return uri


def _queue(text: str) -> tuple[str, str]:
    name, equals, other = text.partition("=")
    if not name or (equals and not other):
        raise argparse.ArgumentTypeError(f"{text!r} is no name, nor NAME=NAME_AT_DESTINATION")
    if max(len(name.encode()), len(other.encode())) > 255:
        raise argparse.ArgumentTypeError("a name has at most 255 octets")
    return name, other or name


def _count_of(text: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of 0 or more")
    return int(text)


def _prefetch(text: str) -> int:
    count = _count_of(text)
    if not 1 <= count <= 65535:
        raise argparse.ArgumentTypeError("a prefetch count is from 1 to 65535")
    return count


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(
        prog=PROG,
        description="Move the messages of queues from one broker to another, RabbitMQ or this one. A message is "
        "acknowledged at the source only when the destination has confirmed it: whatever dies, none is lost, and to "
        "run the same command again goes on where it was. Properties stay as they are.",
        epilog="Queues have to be at the destination already: import the source's definitions first.",
    )
    add = parser.add_argument
    add("source", type=_uri, metavar="SOURCE_URI", help="amqp[s]://user:password@host:port/vhost, percent-encoded")
    add("destination", type=_uri, metavar="DESTINATION_URI", help="the same")
    add(
        "--queue",
        type=_queue,
        action="append",
        default=[],
        metavar="NAME[=OTHER]",
        help="a queue to move, and its name at the destination where that is another; may be repeated",
    )
    add(
        "--queues-of",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="all queues that a file of definitions has in the source's vhost, but for streams",
    )
    add("--to-exchange", metavar="NAME", help="publish there with each message's own routing key, not to the queue")
    add("--count", type=_count_of, metavar="N", help="move at most so many of each queue")
    add("--follow", action="store_true", help="go on when a queue is empty, until Ctrl-C; for one queue")
    add("--prefetch", type=_prefetch, default=PREFETCH_COUNT, metavar="N", help="on their way at once (default: 1000)")
    add("--without-user-id", action="store_true", help="leave the property user-id out, which a broker checks")
    add(
        "--retry",
        type=_count_of,
        default=RETRY_S,
        metavar="S",
        help="how long to try to connect anew before giving up (default: 60)",
    )
    return parser
