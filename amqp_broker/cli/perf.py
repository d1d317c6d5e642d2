"""`amqp-broker perf`: puts load on a broker, this one or any other, and says what came of it.

Progress goes to standard error, the result to standard output. What is measured, and how, is `amqp_broker.perf`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import time
from collections.abc import Sequence
from typing import Any, Final

from amqp_broker.cli.parser import EXIT_OK, OneLineParser, UsageError
from amqp_broker.perf.histogram import percentiles_ns
from amqp_broker.perf.run import PerfError, Run, Sample
from amqp_broker.perf.wire import Address, WireError
from amqp_broker.perf.workload import EXCHANGE_TYPES, MAX_LEAD, Argument, Workload

EXIT_FAILED: Final = 1
"""The broker is not there, lets us not in, or does not go on."""

DEFAULT_URI: Final = "amqp://guest:guest@127.0.0.1:5672/%2F"
PROGRESS_S: Final = 1.0
STOP_DEADLINE_S: Final = 5.0
SHARES: Final = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "p99.9": 0.999}


def main(arguments: Sequence[str]) -> int:
    """Run the command; gives the exit status: 0, or 1 when the broker does not do its part.

    Raises:
        UsageError: no such load.
    """
    options = _parser().parse_args(arguments)
    try:
        address = Address.from_uri(options.uri)
    except ValueError as error:
        raise UsageError(f"--uri {_without_password(options.uri)}: {error}") from None
    try:
        workload = _workload(options)
    except ValueError as error:
        raise UsageError(str(error)) from None
    try:
        with Run(address, workload) as run:
            result, problem = _watch(run, options.seconds)
            print(json.dumps(result, indent=1) if options.json else _table(result), flush=True)
            if not problem:
                run.stop_publishing(STOP_DEADLINE_S)
            # Whatever comes from here on, the result is out.
    except (PerfError, WireError) as error:
        return _failed(f"{address}: {error}")
    except OSError as error:
        return _failed(f"can't reach a broker at {address}: {error.strerror or error}")
    except KeyboardInterrupt:
        return EXIT_OK  # before anything was published, or once more while we clean up
    return _failed(f"{address}: {problem}") if problem else EXIT_OK


def _failed(text: str) -> int:
    print(f"amqp-broker perf: {text}", file=sys.stderr)
    return EXIT_FAILED


def _watch(run: Run, seconds: float) -> tuple[dict[str, Any], str]:
    """From the first message to the last: the result, and what went wrong if it was cut short."""
    problem = ""
    progress = _Progress()
    with contextlib.suppress(KeyboardInterrupt):
        try:
            run.begin()
            ends_at = time.monotonic() + seconds if seconds else float("inf")
            before = run.sample()
            while not _is_over(run) and (left := ends_at - time.monotonic()) > 0:
                run.wait(min(left, PROGRESS_S))
                now = run.sample()
                progress.show(before, now)
                before = now
            if _is_over(run):
                run.drain()
        except PerfError as error:
            problem = str(error)
    last = run.sample()
    progress.end()
    return _result(run, last), problem


def _is_over(run: Run) -> bool:
    return bool(run.workload.count and run.board.done_at)


class _Progress:
    """One line that changes on a terminal, a line a second elsewhere; on standard error."""

    def __init__(self) -> None:
        self._is_live = sys.stderr.isatty()

    def show(self, before: Sample, now: Sample) -> None:
        seconds = max(1e-9, now.at - before.at)
        parts = [f"{now.at:6.1f} s"]
        for name in ("published", "confirmed", "refused", "consumed"):
            count: int = getattr(now, name)
            parts += [f"{name} {(count - getattr(before, name)) / seconds:>9,.0f}/s"] if count else []
        latencies = [after - sooner for after, sooner in zip(now.latencies, before.latencies, strict=True)]
        if any(latencies):
            p50, p99 = percentiles_ns(latencies, (0.5, 0.99))
            parts.append(f"latency p50 {_duration(p50)}, p99 {_duration(p99)}")
        line = ", ".join(parts)
        with contextlib.suppress(OSError):
            print(f"\r{line}\033[K" if self._is_live else line, end="" if self._is_live else "\n", file=sys.stderr)
            sys.stderr.flush()

    def end(self) -> None:
        if self._is_live:
            print("\r\033[K", end="", file=sys.stderr, flush=True)


def _result(run: Run, sample: Sample) -> dict[str, Any]:
    """As `--json` prints it: rates per second, times in milliseconds."""
    board = run.board
    done_at = (board.done_at - board.begins_at) / 1e9 if board.done_at else sample.at
    result: dict[str, Any] = {
        "seconds": round(sample.at, 3),
        "published": sample.published,
        "confirmed": sample.confirmed,
        "refused": sample.refused,
        "consumed": sample.consumed,
        "published_per_s": round(sample.published / max(1e-9, done_at), 1),
        "confirmed_per_s": round(sample.confirmed / max(1e-9, done_at), 1),
        "consumed_per_s": round(sample.consumed / max(1e-9, sample.at), 1),
        "latency_ms": None,
        "latency_samples": sum(sample.latencies),
    }
    if result["latency_samples"]:
        longest = board.longest_ns
        values = percentiles_ns(sample.latencies, tuple(SHARES.values()))
        latency = {"min": board.shortest_ns}
        latency |= {name: min(value, longest) for name, value in zip(SHARES, values, strict=True)}
        latency["max"] = longest
        result["latency_ms"] = {name: round(value / 1e6, 4) for name, value in latency.items()}
    return result


def _table(result: dict[str, Any]) -> str:
    lines = [f"{'':<12}{'messages':>14}{'per second':>14}"]
    for name in ("published", "confirmed", "consumed"):
        count: int = result[name]
        lines += [f"{name:<12}{count:>14,}{result[f'{name}_per_s']:>14,.0f}"] if count or name != "confirmed" else []
    if result["refused"]:
        lines.append(f"{'refused':<12}{result['refused']:>14,}")
    if result["latency_ms"] is not None:
        lines.append("")
        lines.append(f"{'latency':<12}" + "".join(f"{name:>11}" for name in result["latency_ms"]))
        times = (f"{_duration(value * 1e6):>11}" for value in result["latency_ms"].values())
        lines.append(f"{'':<12}" + "".join(times))
    return "\n".join(lines)


def _duration(ns: float) -> str:
    if ns < 1e6:
        return f"{ns / 1e3:.0f} µs"
    return f"{ns / 1e6:.{2 if ns < 1e8 else 0}f} ms"


def _workload(options: argparse.Namespace) -> Workload:
    return Workload(
        publishers=options.publishers,
        consumers=options.consumers,
        body_octets=options.size,
        persistent=options.persistent,
        confirm_window=options.confirm,
        ack_every=0 if options.auto_ack else options.ack_every or 0,
        prefetch_count=options.prefetch,
        rate=options.rate,
        count=options.count,
        queues=options.queues,
        queue_arguments=options.queue_args,
        exchange_type=options.exchange or "",
        routing_keys=options.routing_keys,
        bindings=options.bindings,
        max_lead=options.max_lead,
    )


def _without_password(uri: str) -> str:
    scheme, colon, rest = uri.partition("://")
    return f"{scheme}{colon}{rest.rpartition('@')[2]}"


def _whole(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = -1
    if number < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of 0 or more")
    return number


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of 0 or more")
    return number


def _size(text: str) -> int:
    octets = _whole(text)
    if octets > 1 << 27:
        raise argparse.ArgumentTypeError(f"{text} octets are more than brokers take (134217728)")
    return octets


def _prefetch(text: str) -> int:
    count = _whole(text)
    if count > 65535:
        raise argparse.ArgumentTypeError("a prefetch count is at most 65535")
    return count


def _processes(text: str) -> int:
    number = _whole(text)
    if number > 1000:
        raise argparse.ArgumentTypeError("each is a process; at most 1000")
    return number


def _queue_arguments(text: str) -> dict[str, Argument]:
    arguments: dict[str, Argument] = {}
    for part in filter(None, text.split(",")):
        key, equals, value = part.partition("=")
        if not key or not equals:
            raise argparse.ArgumentTypeError(f"{part!r} is not of the form key=value")
        if value in ("true", "false"):
            arguments[key] = value == "true"
        elif value.removeprefix("-").isdecimal() and value.isascii() and len(value) < 19:
            arguments[key] = int(value)
        else:
            arguments[key] = value
    return arguments


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(
        prog="amqp-broker perf",
        description="Put load on a broker and measure throughput and latency.",
        epilog="Runs until Ctrl-C, or as long as -z and -C say. Queues and exchange of its own are removed in the end.",
    )
    add = parser.add_argument
    shown = DEFAULT_URI.replace("%", "%%")
    add("--uri", default=DEFAULT_URI, help=f"the broker, its parts percent-encoded (default: {shown})")
    add("-x", "--publishers", type=_processes, default=1, metavar="N", help="processes that publish (default: 1)")
    add("-y", "--consumers", type=_processes, default=1, metavar="N", help="processes that consume (default: 1)")
    add("-s", "--size", type=_size, default=16, metavar="OCTETS", help="of a body; latency from 8 on (default: 16)")
    add("--persistent", action="store_true", help="delivery mode 2")
    add("-c", "--confirm", type=_whole, default=0, metavar="WINDOW", help="publisher confirms, at most so many missing")
    acks = parser.add_mutually_exclusive_group()
    acks.add_argument("--ack-every", type=_whole, metavar="N", help="acknowledge every so many deliveries")
    acks.add_argument("--auto-ack", action="store_true", help="don't acknowledge (the default)")
    add("-q", "--prefetch", type=_prefetch, default=0, metavar="N", help="unacknowledged deliveries, 0: any number")
    add("--rate", type=_number, default=0.0, metavar="N", help="messages per second of each publisher")
    ends = parser.add_mutually_exclusive_group()
    ends.add_argument("-z", "--seconds", type=_number, default=0.0, metavar="S", help="run for so long")
    ends.add_argument("-C", "--count", type=_whole, default=0, metavar="N", help="messages of each publisher")
    add("--queues", type=_whole, default=1, metavar="N", help="dealt out to publishers and consumers (default: 1)")
    add("--queue-args", type=_queue_arguments, default={}, metavar="K=V,...", help="such as x-queue-type=quorum")
    add("--exchange", choices=EXCHANGE_TYPES, help="publish through an exchange of this type, not the default one")
    add("--routing-keys", type=_whole, default=0, metavar="N", help="so many different ones, by turns")
    add("--bindings", type=_whole, default=0, metavar="N", help="of that exchange, dealt out to the queues")
    add(
        "--max-lead",
        type=_whole,
        default=MAX_LEAD,
        metavar="N",
        help=f"messages publishers may be ahead of consumers; 0: no limit (default: {MAX_LEAD})",
    )
    add("--json", action="store_true", help="the result as JSON")
    return parser
