"""`python -m interop.cluster --minutes 10 --seed 1`: three brokers, three servers of NATS, and what breaks."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import tempfile
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from urllib.parse import quote

import httpx
import pika

from interop import slow_disk
from interop.clock import ClockError, build
from interop.cluster import cuts
from interop.cluster.chaos import Chaos
from interop.cluster.clients import AioConsumer, AioPublisher, PikaConsumer, PikaPublisher, Worker
from interop.cluster.history import History, check, unavailability
from interop.cluster.report import lines, timeline
from interop.namespaces import Namespaces, NamespacesError, namespaces
from interop.own_cluster import OwnCluster, Surroundings, names, running_cluster

BROKERS = SERVERS = 3
VHOSTS = ("/", "second", "third")
READY_S = 30.0
DRAIN_S = 30.0
QUIET_S = 3.0


def _prepare(cluster: OwnCluster) -> list[tuple[str, list[str]]]:
    """Make vhosts and a queue in each; gives each queue's name and the URLs to it."""
    http = cluster.brokers[0].http_url
    found = []
    for vhost in VHOSTS:
        if vhost != "/":
            auth = ("guest", "guest")
            httpx.put(
                f"{http}/api/vhosts/{quote(vhost, safe='')}", auth=auth, json={}, timeout=READY_S
            ).raise_for_status()
        urls = [url.rpartition("/")[0] + "/" + quote(vhost, safe="") for url in cluster.urls]
        queue = f"q-{vhost.strip('/') or 'first'}"
        _declare(urls[0], queue)
        found.append((queue, urls))
    return found


def _declare(url: str, queue: str) -> None:
    ends_at = time.monotonic() + READY_S
    while True:
        try:
            with pika.BlockingConnection(pika.URLParameters(url)) as connection:
                connection.channel().queue_declare(queue, durable=True)
                return
        except pika.exceptions.AMQPError:
            if time.monotonic() > ends_at:
                raise
            time.sleep(0.2)


def _wait_drained(history: History) -> None:
    """Return when all that was confirmed has come and nothing follows, or nothing has come for long."""
    count, since = -1, time.monotonic()
    while True:
        if len(history.deliveries) != count:
            count, since = len(history.deliveries), time.monotonic()
        quiet_s = time.monotonic() - since
        if quiet_s > QUIET_S and (quiet_s > DRAIN_S or not check(history).lost):
            return
        time.sleep(0.25)


def _network(wanted: str, stack: ExitStack) -> Namespaces | None:
    """Where to run: None for loopback, with proxies."""
    if wanted == "proxies":
        return None
    broker_names, server_names = names(BROKERS, SERVERS)
    try:
        network = stack.enter_context(namespaces([*broker_names, *server_names]))
    except NamespacesError as error:
        if wanted == "namespaces":
            raise
        print(f"links are cut by proxies: no network namespaces can be made here ({error})")
        return None
    print("links are cut between network namespaces, one for each broker and server")
    return network


def _clock_library(directory: Path) -> Path | None:
    try:
        library = build(directory)
    except ClockError as error:
        print(f"clocks are left alone: {error}")
        return None
    print("clocks of brokers are hours off, and jump; those of NATS, a program in Go, are left alone")
    return library


def _can_slow_disks() -> bool:
    try:
        slow_disk.check()
    except slow_disk.SlowDiskError as error:
        print(f"no disk is slow: {error}")
        return False
    return True


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m interop.cluster", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=float, default=40.0, help="messages a second and publisher, at most")
    parser.add_argument("--only", default="", help="kinds of events, separated by commas (default: all)")
    what = "what cuts them (default: what the machine allows)"
    parser.add_argument("--links", choices=("namespaces", "proxies"), default="", help=what)
    parser.add_argument("--tls", action="store_true", help="between brokers and with NATS, which asks for a login")
    parser.add_argument("--plot", type=Path, help="where the timeline goes, as SVG")
    parser.add_argument("--keep", type=Path, help="a directory for files and logs, which stay there")
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)  # what clients have to say is counted
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # not without removing what was made
    directory = options.keep or Path(tempfile.mkdtemp(prefix="amqp-cluster-"))
    directory.mkdir(parents=True, exist_ok=True)
    random = Random(options.seed)
    with ExitStack() as stack:
        network = _network(options.links, stack)
        surroundings = Surroundings(
            has_links=network is None,
            network=network,
            has_tls=options.tls,
            clock_library=_clock_library(directory),
        )
        cluster = stack.enter_context(running_cluster(BROKERS, SERVERS, directory=directory, surroundings=surroundings))
        queues = _prepare(cluster)
        history = History()
        kinds = cuts.by_proxies(cluster) if network is None else cuts.InNetwork(cluster, network).kinds
        chaos = Chaos(
            cluster,
            history,
            random,
            lambda line: print(line, flush=True),
            VHOSTS,
            kinds,
            can_slow_disks=_can_slow_disks(),
        )
        if options.only:
            chaos.only = options.only.split(",")
            if unknown := sorted({*chaos.only} - {*chaos.kinds}):
                parser.error(f"no events {', '.join(unknown)}; there are {', '.join(chaos.kinds)}")
        print(f"begins at {datetime.now(UTC):%H:%M:%S.%f}; files are in {directory}", flush=True)
        publishers: list[Worker] = []
        consumers: list[Worker] = []
        pause_s = 1 / options.rate
        for n, (queue, urls) in enumerate(queues):
            publishers.append(PikaPublisher(f"pika-{n}", history, urls, queue, options.seed + n, pause_s))
            publishers.append(AioPublisher(f"aio-{n}", history, urls, queue, options.seed + 10 + n, pause_s))
            consumer = PikaConsumer if n % 2 else AioConsumer
            consumers.append(consumer(history, urls, queue, options.seed + 20 + n))
        for worker in [*publishers, *consumers]:
            worker.start()
        chaos.run(60 * options.minutes)
        time.sleep(5)
        until = history.now()
        for worker in publishers:
            worker.stop()
        _wait_drained(history)
        for worker in consumers:
            worker.stop()
        logs = [broker.name for broker in cluster.brokers if "Traceback" in broker.output()]
    verdict = check(history)
    print("\n".join(lines(history, verdict, unavailability(history, until))))
    if verdict.lost or verdict.invented or verdict.disordered:
        print("lost", verdict.lost[:20], "invented", verdict.invented[:20], "out of order", verdict.disordered[:20])
    if logs:
        print(f"tracebacks in the logs of {', '.join(logs)}: {directory}")
    if options.plot is not None:
        tls = " --tls" if options.tls else ""
        title = f"python -m interop.cluster --minutes {options.minutes:g} --seed {options.seed}{tls}"
        options.plot.write_text(timeline(history, until, title))
    return 0 if verdict.is_right and not logs else 1


if __name__ == "__main__":
    sys.exit(main())
