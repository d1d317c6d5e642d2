"""What happens to a cluster: one thing after the other, healed before the next."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from random import Random

from interop.cluster.cuts import Kind
from interop.cluster.history import History
from interop.own_cluster import BrokerNode, OwnCluster
from interop.slow_disk import slow_disk
from tests.support.nats import NatsServer

PAUSE_S = (2.0, 6.0)
"""Between what was healed and what comes next."""
ELECTION_S = 9.0
"""How long NATS may look for leaders when its servers have one another again."""
HOUR_S = 3600
FARTHEST_H = 12
"""How far a clock is off at the most."""
SLOWEST_S = 1.0
"""How much longer an fsync takes at the most on a slow disk."""


class Chaos:
    """Does things to a cluster.

    Args:
        cluster: which runs.
        history: where it is noted.
        random: what is done, to whom and how long.
        tell: takes a line for each.
        vhosts: that are moved.
        cuts: how links can be cut.
        can_slow_disks: whether disks of servers can be made slow.

    Attributes:
        only: kinds of events, all at first.
    """

    def __init__(
        self,
        cluster: OwnCluster,
        history: History,
        random: Random,
        tell: Callable[[str], None],
        vhosts: Sequence[str],
        cuts: Mapping[str, Kind],
        *,
        can_slow_disks: bool = False,
    ) -> None:
        self._cluster = cluster
        self._vhosts = vhosts
        self._history = history
        self._random = random
        self._tell = tell
        events: dict[str, Callable[[], None]] = {
            "kill-broker": self._kill_broker,
            "pause-broker": self._pause_broker,
            "stop-broker": self._stop_broker,
            "transfer": self._transfer,
            "drain": self._drain,
            "kill-nats": self._kill_nats,
            "pause-nats": self._pause_nats,
            **{name: partial(self._cut, kind) for name, kind in cuts.items()},
        }
        if all(broker.clock is not None for broker in cluster.brokers):
            events["jump-clock"] = self._jump_clock
        if can_slow_disks:
            events["slow-disk"] = self._slow_disk
        self._events = events
        self.only: Sequence[str] = self.kinds
        self._what = ""
        self._began_at = 0.0

    @property
    def kinds(self) -> list[str]:
        """Of events that there are."""
        return list(self._events)

    def run(self, seconds: float) -> None:
        """Go on for so long."""
        ends_at = time.monotonic() + seconds
        while (left_s := ends_at - time.monotonic()) > 0:
            time.sleep(min(left_s, self._random.uniform(*PAUSE_S)))
            if time.monotonic() < ends_at:
                self._events[self._random.choice(self.only)]()
                self._history.events.append((self._began_at, self._history.now(), self._what))
                self._tell(f"{self._began_at:7.1f} s  {self._what}")

    def _begin(self, what: str) -> None:
        self._began_at = self._history.now()
        self._what = what

    def _broker(self) -> BrokerNode:
        return self._random.choice(self._cluster.brokers)

    def _server(self) -> NatsServer:
        return self._random.choice(self._cluster.servers)

    def _wait(self, low: float, high: float) -> None:
        time.sleep(self._random.uniform(low, high))

    def _kill_broker(self) -> None:
        broker = self._broker()
        self._begin(f"SIGKILL of broker {broker.name}")
        broker.kill()
        self._wait(0.0, 5.0)
        broker.start()

    def _stop_broker(self) -> None:
        broker = self._broker()
        self._begin(f"SIGTERM of broker {broker.name}")
        broker.stop()
        self._wait(0.0, 3.0)
        broker.start()

    def _pause_broker(self) -> None:
        broker = self._broker()
        self._begin(f"SIGSTOP of broker {broker.name}")
        os.kill(broker.pid, signal.SIGSTOP)
        try:
            self._wait(0.5, 9.0)
        finally:
            os.kill(broker.pid, signal.SIGCONT)

    def _cut(self, kind: Kind) -> None:
        cut = kind(self._random)
        self._begin(cut.what)
        cut.begin()
        if cut.end is not None:
            seconds = self._random.uniform(1.0, 8.0)
            try:
                time.sleep(seconds)
            finally:
                cut.end()
            if cut.is_felt_on:
                time.sleep(seconds + ELECTION_S)

    def _jump_clock(self) -> None:
        broker = self._broker()
        assert broker.clock is not None
        hours = self._random.choice((-1, 0, 1, self._random.randint(-FARTHEST_H, FARTHEST_H)))
        self._begin(f"clock of broker {broker.name} jumps")
        broker.clock.set(hours * HOUR_S)

    def _transfer(self) -> None:
        vhost, target = self._random.choice(self._vhosts), self._broker()
        self._begin(f"transfer of {vhost} to broker {target.name}")
        self._told(self._broker().command("transfer_vhost", vhost, target.name))

    def _drain(self) -> None:
        broker = self._broker()
        self._begin(f"drain of broker {broker.name}")
        self._told(broker.command("drain"))
        try:
            self._wait(1.0, 5.0)
        finally:
            broker.command("undrain")

    def _told(self, has_obeyed: bool) -> None:
        if not has_obeyed:
            self._what += ", refused"

    def _kill_nats(self) -> None:
        server = self._server()
        self._begin(f"SIGKILL of NATS {server.name}")
        server.stop()
        self._wait(0.0, 5.0)
        server.start()

    def _pause_nats(self) -> None:
        server = self._server()
        self._begin(f"SIGSTOP of NATS {server.name}")
        server.send(signal.SIGSTOP)
        try:
            self._wait(0.5, 6.0)
        finally:
            server.send(signal.SIGCONT)

    def _slow_disk(self) -> None:
        server = self._server()
        delay_s = round(self._random.uniform(0.02, SLOWEST_S), 2)
        self._begin(f"disk of NATS {server.name} slow +{delay_s}")
        with slow_disk(server.pid, delay_s):
            self._wait(1.0, 8.0)
