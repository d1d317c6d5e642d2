"""What vhosts gain from being spread over a cluster of ours: `python -m interop.spread_figures`.

Three brokers and three servers of NATS on this machine, three vhosts, in each a publisher and a consumer that connect
to its owner: persistent messages of 1 KiB, confirms with a window, a quorum queue. Told is what all three do together,
by turns with one owner for all and with an owner for each, and how busy the processors were.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import sys
import time
from collections.abc import Callable
from urllib.parse import quote

import httpx
import psutil

from amqp_broker.perf.run import PerfError, Run
from amqp_broker.perf.wire import Address, WireError
from amqp_broker.perf.workload import Workload
from interop.machine import current_load, describe_machine
from interop.own_cluster import OwnCluster, running_cluster
from interop.perf_scenarios import PERSISTENT
from interop.processes import ProcessError

VHOSTS = ("one", "two", "three")
LOGIN = ("guest", "guest")
WARMUP_S = 2.0
DEADLINE_S = 60.0
POLL_S = 0.1


class Layout:
    """Where vhosts are, and how they get there.

    Args:
        cluster: which runs.
    """

    def __init__(self, cluster: OwnCluster) -> None:
        self._cluster = cluster
        self._api = httpx.Client(base_url=f"{cluster.brokers[0].http_url}/api/", auth=LOGIN, timeout=DEADLINE_S)
        for vhost in VHOSTS:
            self._post("PUT", f"vhosts/{vhost}")

    def owners(self) -> dict[str, str]:
        """The node of each vhost that has one."""
        records = self._api.get("vhosts").raise_for_status().json()
        return {each["name"]: node for each in records for node in each["cluster_state"]}

    def gather(self) -> None:
        """Have all vhosts with the first broker."""
        first, *others = (broker.name for broker in self._cluster.brokers)
        for node in others:
            self._post("POST", f"nodes/{quote(node)}/drain")
        self._until(lambda: set(self._of_ours()) == {first})

    def spread(self) -> None:
        """Have a vhost with each broker."""
        nodes = [broker.name for broker in self._cluster.brokers]
        for node in nodes:
            self._post("POST", f"nodes/{quote(node)}/undrain")
        self._until(lambda: len(self._of_ours()) == len(VHOSTS))
        for vhost, node in zip(VHOSTS, nodes, strict=True):
            self._post("POST", f"vhosts/{vhost}/transfer/{quote(node)}")
        self._until(lambda: self._of_ours() == nodes)

    def addresses(self) -> list[Address]:
        """Where clients of each vhost connect: to its owner."""
        urls = {broker.name: broker.url for broker in self._cluster.brokers}
        return [
            Address.from_uri(urls[node].replace("/%2F", f"/{vhost}"))
            for vhost, node in zip(VHOSTS, self._of_ours(), strict=True)
        ]

    def _of_ours(self) -> list[str]:
        owners = self.owners()
        return [owners[vhost] for vhost in VHOSTS if vhost in owners]

    def _post(self, method: str, path: str) -> None:
        self._api.request(method, path).raise_for_status()

    def _until(self, holds: Callable[[], bool]) -> None:
        ends_at = time.monotonic() + DEADLINE_S
        while not holds():
            if time.monotonic() > ends_at:
                raise ProcessError(f"the vhosts did not come to where they were to be: {self.owners()}")
            time.sleep(POLL_S)


def rate(addresses: list[Address], window: int, seconds: float) -> tuple[float, float]:
    """Messages consumed a second of all together, and the share of the processors that was busy."""
    arguments = {"x-queue-type": "quorum"}
    workload = Workload(**{**PERSISTENT, "confirm_window": window, "queue_arguments": arguments})
    with contextlib.ExitStack() as stack:
        runs = [stack.enter_context(Run(address, workload)) for address in addresses]
        for run in runs:
            run.begin()
        runs[0].wait(WARMUP_S)
        psutil.cpu_percent()
        first = [run.sample() for run in runs]
        runs[0].wait(seconds)
        last = [run.sample() for run in runs]
        busy = psutil.cpu_percent() / 100
        for run in runs:
            run.stop_publishing()
        for run in runs:
            run.drain()
    rates = [
        (after.consumed - before.consumed) / (after.at - before.at) for after, before in zip(last, first, strict=True)
    ]
    return sum(rates), busy


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m interop.spread_figures", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--rounds", type=int, default=3, help="of each layout (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=5.0, help="measured in each round (default: %(default)s)")
    parser.add_argument("--window", type=int, default=100, help="unconfirmed messages (default: %(default)s)")
    arguments = parser.parse_args()
    print(describe_machine(), flush=True)
    load = current_load()
    totals: dict[str, list[float]] = {}
    try:
        with running_cluster() as cluster:
            layout = Layout(cluster)
            for number in range(arguments.rounds):
                for name, arrange in (("one owner", layout.gather), ("an owner each", layout.spread)):
                    arrange()
                    total, busy = rate(layout.addresses(), arguments.window, arguments.seconds)
                    totals.setdefault(name, []).append(total)
                    print(f"round {number + 1}, {name}: {total:,.0f} msg/s, processors {busy:.0%} busy", flush=True)
    except (PerfError, ProcessError, WireError, OSError, httpx.HTTPError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    one, each = (statistics.median(totals[name]) for name in ("one owner", "an owner each"))
    print(f"medians: one owner {one:,.0f} msg/s, an owner each {each:,.0f} msg/s: {each / one:.2f} times as much")
    print(f"others: {current_load().others_since(load):.0%}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
