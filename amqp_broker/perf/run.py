"""One run of a workload: topology, load processes, what they have counted so far, and everything removed again."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing import connection, parent_process
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from types import TracebackType
from typing import Final, Self

import attrs
import psutil

from amqp_broker.perf.board import SPAWN, Board
from amqp_broker.perf.consumer import Consumer
from amqp_broker.perf.publisher import CONFIRM_DEADLINE_S, LOOK_S, Publisher
from amqp_broker.perf.wire import Address, Client, WireError
from amqp_broker.perf.workload import Workload

READY_DEADLINE_S: Final = 60.0
STALL_S: Final = 5.0
"""A broker that delivers nothing for so long, while there is something to deliver, will not any more."""

_READY, _DONE, _FAILED = "ready", "done", "failed"


class PerfError(Exception):
    """A run that cannot go on; the text says why."""


@attrs.frozen
class Sample:
    """What had happened up to a moment.

    Attributes:
        at: seconds since the run began.
        published, confirmed, refused, consumed: messages.
        latencies: from publish to delivery, per bucket of `histogram`.
        publisher_busy_s, consumer_busy_s: processor time of each load process.
    """

    at: float
    published: int
    confirmed: int
    refused: int
    consumed: int
    latencies: list[int]
    publisher_busy_s: list[float]
    consumer_busy_s: list[float]


class Run:
    """A workload on a broker, as a context manager: ready when entered, removed without a trace when left.

    Raises, from anything that waits:
        PerfError: a load process has failed, or the broker delivers no more.
    """

    def __init__(self, address: Address, workload: Workload) -> None:
        self.workload = workload
        self.board = Board(workload.publishers, workload.consumers)
        self._address = address
        self._controls: list[Connection] = []
        self._processes: list[SpawnProcess] = []

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            stack.callback(self._remove)
            self._declare()
            stack.callback(self._end)
            # Consumers first: then nothing is published before all of them are subscribed.
            self._start(_consume, self.workload.consumers)
            self._start(_publish, self.workload.publishers)
            self._undo = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._undo.close()

    def begin(self) -> None:
        self.board.begins_at = time.perf_counter_ns()

    def wait(self, seconds: float) -> None:
        """Let it go on for so long, or until all is published."""
        ends_at = time.monotonic() + seconds
        stalled_at, consumed = time.monotonic() + STALL_S, -1
        while (left := ends_at - time.monotonic()) > 0 and not self.board.done_at:
            self._check(min(left, LOOK_S))
            if self.board.consumed != consumed or not self._leads():
                stalled_at, consumed = time.monotonic() + STALL_S, self.board.consumed
            elif time.monotonic() > stalled_at:
                raise PerfError(
                    f"nothing was consumed for {STALL_S:g} s while publishers are as far ahead as they may be; "
                    "where queues drop messages, set no limit to the lead"
                )

    def _leads(self) -> bool:
        ahead = self.board.published - self.board.consumed // self.workload.copies
        return bool(self.workload.lead) and ahead >= self.workload.lead - self.workload.send_at_most

    def stop_publishing(self, deadline_s: float = CONFIRM_DEADLINE_S) -> None:
        """Returns when the broker has taken, and confirmed, all that was sent."""
        self.board.publish_until = self.board.publish_until or time.perf_counter_ns()
        ends_at = time.monotonic() + deadline_s
        while not self.board.done_at:
            self._check(0.005)
            if time.monotonic() > ends_at:
                raise PerfError(f"the broker did not take what was sent within {deadline_s:g} s")

    def drain(self) -> None:
        """Returns when all that was published has been consumed.

        Raises:
            PerfError: some of it does not come, or more does.
        """
        due = (self.board.published - self.board.refused) * self.workload.copies if self.workload.consumers else 0
        stalled_at, consumed = time.monotonic() + STALL_S, -1
        while self.board.consumed < due:
            self._check(0.005)
            if self.board.consumed != consumed:
                stalled_at, consumed = time.monotonic() + STALL_S, self.board.consumed
            elif time.monotonic() > stalled_at:
                raise PerfError(f"{self.board.consumed:,} messages of {due:,} came, then none for {STALL_S:g} s")
        if self.board.consumed != due:
            raise PerfError(f"{self.board.consumed:,} messages came where {due:,} were due")

    def sample(self) -> Sample:
        board = self.board
        busy_s = []
        for process in self._processes:
            try:
                times = psutil.Process(process.pid).cpu_times()
            except psutil.Error:  # it has ended
                busy_s.append(0.0)
            else:
                busy_s.append(times.user + times.system)
        return Sample(
            at=(time.perf_counter_ns() - board.begins_at) / 1e9 if board.begins_at else 0.0,
            published=board.published,
            confirmed=board.confirmed,
            refused=board.refused,
            consumed=board.consumed,
            latencies=board.latencies,
            publisher_busy_s=busy_s[self.workload.consumers :],
            consumer_busy_s=busy_s[: self.workload.consumers],
        )

    def _declare(self) -> None:
        workload = self.workload
        with Client(self._address) as client:
            if workload.exchange_type:
                client.exchange_declare(workload.exchange, workload.exchange_type, durable=True)
            for number in range(workload.queues):
                client.queue_declare(workload.queue_name(number), durable=True, arguments=workload.queue_arguments)
            for queue, binding_key in workload.iter_bindings():
                client.queue_bind(queue, workload.exchange, binding_key)
            client.close()

    def _remove(self) -> None:
        # A broker that is gone, or would not let us declare, has nothing of ours that could be removed.
        with contextlib.suppress(OSError, WireError), Client(self._address) as client:
            for number in range(self.workload.queues):
                client.queue_delete(self.workload.queue_name(number))
            if self.workload.exchange_type:
                client.exchange_delete(self.workload.exchange)
            client.close()

    def _start(self, target: Callable[[Address, Workload, int, Board, Connection], None], number: int) -> None:
        ready = len(self._controls) + number
        with _interrupts_ignored():
            for n in range(number):
                ours, theirs = SPAWN.Pipe()
                process = SPAWN.Process(target=target, args=(self._address, self.workload, n, self.board, theirs))
                process.start()
                theirs.close()  # so that the child's end is an end of file
                self._processes.append(process)
                self._controls.append(ours)
        ends_at = time.monotonic() + READY_DEADLINE_S
        for control in self._controls[ready - number : ready]:
            if not control.poll(max(0.0, ends_at - time.monotonic())):
                raise PerfError(f"a load process was not ready within {READY_DEADLINE_S:g} s")
            self._hear(control)

    def _check(self, wait_s: float) -> None:
        """Wait for so long, or for bad news."""
        if not self._controls:
            time.sleep(wait_s)
        for control in connection.wait(self._controls, wait_s):
            assert isinstance(control, Connection)
            if self._hear(control) == _DONE:
                self._controls.remove(control)
                control.close()

    def _hear(self, control: Connection) -> str:
        try:
            kind, text = control.recv()
        except (EOFError, OSError):
            raise PerfError("a load process was ended by somebody else") from None
        if kind == _FAILED:
            raise PerfError(text)
        return str(kind)

    def _end(self) -> None:
        self.board.stop()
        self.board.publish_until = self.board.publish_until or 1
        ends_at = time.monotonic() + 1.0
        for process in self._processes:
            process.join(max(0.0, ends_at - time.monotonic()))
            process.kill()
            process.join()
        for control in self._controls:
            control.close()


@contextlib.contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """Children started here don't hear of Ctrl-C: ending them is their parent's business."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _publish(address: Address, workload: Workload, number: int, board: Board, control: Connection) -> None:
    with _reported(control):
        publisher = Publisher(address, workload, number, board)
        control.send((_READY, ""))
        publisher.run()


def _consume(address: Address, workload: Workload, number: int, board: Board, control: Connection) -> None:
    with _reported(control):
        consumer = Consumer(address, workload, number, board)
        control.send((_READY, ""))
        consumer.run()


@contextlib.contextmanager
def _reported(control: Connection) -> Iterator[None]:
    """What a load process has to say in the end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # where it is not inherited
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with contextlib.suppress(OSError):  # nobody listens any more
        try:
            yield
        except WireError as error:
            control.send((_FAILED, str(error)))
        except OSError as error:
            control.send((_FAILED, f"the connection broke: {error.strerror or error}"))
        except Exception as error:
            control.send((_FAILED, f"a load process failed: {type(error).__name__}: {error}"))
        else:
            control.send((_DONE, ""))


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    signal.raise_signal(signal.SIGTERM)
