"""What long lists of the management API cost messages: `python -m interop.listing_figures`.

A steady stream of messages, each with the time it was due, passes through our executable beside ten thousand idle
queues: first with nobody asking, then with a client that fetches the list of all queues in a loop, as fast as it is
answered. Told are the latencies of both, their ratio, and how many lists there were.

Load, broker and lister share the machine's processors. So that it is the broker that is measured, the lister takes the
octets and makes nothing of them; with `--parses` it makes objects of them, as a client in Python does on a machine of
its own, and takes a processor for that a part of the time.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import statistics
import sys
import tempfile
from urllib.parse import urlsplit

from amqp_broker.perf.histogram import percentiles_ns
from amqp_broker.perf.run import PerfError, Run
from amqp_broker.perf.wire import Address, WireError
from amqp_broker.perf.workload import Workload
from interop.machine import current_load, describe_machine
from interop.own_broker import OwnBroker, started_broker
from interop.processes import ProcessError, running_python

SHARES = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999}
WARM_UP_S = 1.0
LOGIN = {"authorization": "Basic Z3Vlc3Q6Z3Vlc3Q="}  # guest:guest
PROMISE = 2.0
"""How many times as long the p99 may be."""

Latencies = dict[str, float]
"""By name of the percentile, ms."""

LISTER = """
import http.client, json, sys
from urllib.parse import urlsplit

place, path, parses = urlsplit(sys.argv[1]), sys.argv[2], sys.argv[3] == "parses"
connection = http.client.HTTPConnection(place.hostname, place.port)
buffer = bytearray(1 << 20)
print("ready", flush=True)
while True:
    connection.request("GET", f"/api/{path}", headers=json.loads(sys.argv[4]))
    response = connection.getresponse()
    octets = 0
    if parses:
        body = response.read()
        octets, _ = len(body), json.loads(body)
    while read := response.readinto(buffer):
        octets += read
    print(response.status, octets, flush=True)
"""
"""Asks again as soon as it has the answer."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m interop.listing_figures", description=__doc__.split("\n")[0])
    parser.add_argument("--queues", type=int, default=10_000, help="that are listed (default: %(default)s)")
    parser.add_argument("--rate", type=int, default=5_000, help="messages a second (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=6.0, help="of each half of a round (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="of which medians are told (default: %(default)s)")
    parser.add_argument("--path", default="queues", help="what is fetched, below api/ (default: %(default)s)")
    parser.add_argument("--parses", action="store_true", help="the lister makes objects of what it gets")
    parser.add_argument("--transient", action="store_true", help="messages neither persistent nor confirmed")
    arguments = parser.parse_args()
    workload = Workload(
        rate=arguments.rate,
        body_octets=1024,
        persistent=not arguments.transient,
        confirm_window=0 if arguments.transient else 1000,
        ack_every=0 if arguments.transient else 1,
        prefetch_count=0 if arguments.transient else 1000,
    )
    asking = (arguments.path, "parses" if arguments.parses else "counts", json.dumps(LOGIN))
    print(describe_machine())
    load = current_load()
    alone: list[Latencies] = []
    asked: list[Latencies] = []
    try:
        with tempfile.TemporaryDirectory() as directory, started_broker("--data-dir", directory) as broker:
            _declare(broker, arguments.queues)
            for _ in range(arguments.rounds):
                alone.append(_latencies_ms(broker, workload, arguments.seconds))
                _show("nobody lists", alone[-1])
                with running_python("-c", LISTER, broker.management_url, *asking) as lister:
                    lister.wait_line("200 ")
                    asked.append(_latencies_ms(broker, workload, arguments.seconds))
                    _show(f"{len(lister.lines) - 2} lists", asked[-1])
            broker.stop()
    except (PerfError, WireError, ProcessError) as error:
        print(error, file=sys.stderr)
        return 1
    p99, p99_asked = (statistics.median(each["p99"] for each in rounds) for rounds in (alone, asked))
    print(f"p99 {p99:.3f} ms, with lists {p99_asked:.3f} ms: {p99_asked / p99:.2f} times, at most {PROMISE:g} promised")
    print(f"others: {current_load().others_since(load):.0%}")
    return 0 if p99_asked / p99 <= PROMISE else 1


def _declare(broker: OwnBroker, queues: int) -> None:
    definitions = {
        "queues": [
            {"name": f"idle-{number:05}", "vhost": "/", "durable": True, "auto_delete": False, "arguments": {}}
            for number in range(queues)
        ]
    }
    headers = {**LOGIN, "content-type": "application/json"}
    url = urlsplit(broker.management_url)
    connection = http.client.HTTPConnection(url.hostname or "", url.port)
    connection.request("POST", "/api/definitions", json.dumps(definitions), headers)
    with contextlib.closing(connection):
        answer = connection.getresponse()
        if answer.status != http.client.NO_CONTENT:
            raise WireError(f"definitions were not taken: {answer.status} {answer.read()!r}")


def _latencies_ms(broker: OwnBroker, workload: Workload, seconds: float) -> Latencies:
    """Of all messages after the first second."""
    with Run(Address.from_uri(broker.url), workload) as run:
        run.begin()
        run.wait(WARM_UP_S)
        before = run.sample().latencies
        run.wait(seconds)
        after = run.sample().latencies
        run.stop_publishing()
        run.drain()
    counts = [last - first for last, first in zip(after, before, strict=True)]
    return dict(zip(SHARES, (ns / 1e6 for ns in percentiles_ns(counts, tuple(SHARES.values()))), strict=True))


def _show(what: str, latencies_ms: Latencies) -> None:
    print(f"{what:<14}" + "".join(f"  {name} {value:7.3f} ms" for name, value in latencies_ms.items()), flush=True)


if __name__ == "__main__":
    sys.exit(main())
