"""What long lists of the management API cost messages: `python -m interop.listing_figures`.

A steady stream of messages, each with the time it was sent, passes through our executable beside ten thousand idle
queues: first with nobody asking, then with a client that fetches the list of all queues in a loop, as fast as it is
answered. Told are the latencies of both, their ratio, and how many lists there were.
"""

from __future__ import annotations

import argparse
import sys

from amqp_broker.perf.histogram import percentiles_ns
from amqp_broker.perf.run import PerfError, Run
from amqp_broker.perf.wire import Address, Client, WireError
from amqp_broker.perf.workload import Workload
from interop.machine import current_load, describe_machine
from interop.own_broker import OwnBroker, started_broker
from interop.processes import ProcessError, running_python

SHARES = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999}
WARM_UP_S = 1.0
PROMISE = 2.0
"""How many times as long the p99 may be."""

LISTER = """
import sys
from amqp_broker.top.api import Api

api, path = Api(sys.argv[1]), sys.argv[2]
api.get(path)
print("ready", flush=True)
while True:
    print(len(api.get(path)), flush=True)
"""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m interop.listing_figures", description=__doc__.split("\\n")[0])
    parser.add_argument("--queues", type=int, default=10_000, help="that are listed (default: %(default)s)")
    parser.add_argument("--rate", type=int, default=5_000, help="messages a second (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each half (default: %(default)s)")
    parser.add_argument("--path", default="queues", help="what is fetched, below api/ (default: %(default)s)")
    arguments = parser.parse_args()
    print(describe_machine())
    load = current_load()
    try:
        with started_broker("--memory", "--log-level", "error") as broker:
            with Client(broker.url) as client:
                for number in range(arguments.queues):
                    client.queue_declare(f"idle-{number:05}", durable=True)
            alone = _latencies_ms(broker, arguments.rate, arguments.seconds)
            _show("nobody lists", alone)
            with running_python("-c", LISTER, broker.management_url, arguments.path) as lister:
                lister.wait_line("ready")
                asked = _latencies_ms(broker, arguments.rate, arguments.seconds)
                lists = len(lister.lines) - 1
            _show(f"{lists} lists", asked)
            broker.stop()
    except (PerfError, WireError, ProcessError) as error:
        print(error, file=sys.stderr)
        return 1
    ratio = asked["p99"] / alone["p99"]
    print(f"p99 {ratio:.2f} times as long, at most {PROMISE:g} promised")
    print(f"others: {current_load().others_since(load):.0%}")
    return 0 if ratio <= PROMISE else 1


def _latencies_ms(broker: OwnBroker, rate: int, seconds: float) -> dict[str, float]:
    """Of all messages after the first second."""
    with Run(Address.from_uri(broker.url), Workload(rate=rate, body_octets=100)) as run:
        run.begin()
        run.wait(WARM_UP_S)
        before = run.sample().latencies
        run.wait(seconds)
        after = run.sample().latencies
        run.stop_publishing()
        run.drain()
    counts = [last - first for last, first in zip(after, before, strict=True)]
    return dict(zip(SHARES, (ns / 1e6 for ns in percentiles_ns(counts, tuple(SHARES.values()))), strict=True))


def _show(what: str, latencies_ms: dict[str, float]) -> None:
    print(f"{what:<14}" + "".join(f"  {name} {value:7.3f} ms" for name, value in latencies_ms.items()), flush=True)


if __name__ == "__main__":
    sys.exit(main())
