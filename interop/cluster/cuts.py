"""Links of a cluster that are cut for a while, by proxies or in a network of namespaces."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import permutations
from random import Random
from typing import NamedTuple

from interop.cluster.history import QUORUM_GONE
from interop.namespaces import Namespaces, Way
from interop.own_cluster import BrokerNode, OwnCluster, names
from interop.proxy import Proxy


class Cut(NamedTuple):
    """What is cut.

    Attributes:
        what: for people.
        begin: does it.
        end: heals it; None for what is over at once.
        is_felt_on: connections that nobody gives up are silent as long again: TCP doubles the time between attempts.
    """

    what: str
    begin: Callable[[], None]
    end: Callable[[], None] | None = None
    is_felt_on: bool = False


Kind = Callable[[Random], Cut]


def _resets(what: str, links: Sequence[Proxy]) -> Cut:
    def cut() -> None:
        for proxy in links:
            proxy.cut()

    return Cut(what, cut)


def _parts(what: str, links: Sequence[Proxy], *, requests: bool = True, answers: bool = True) -> Cut:
    def part() -> None:
        for proxy in links:
            proxy.part(requests=requests, answers=answers)

    def heal() -> None:
        for proxy in links:
            proxy.heal()

    return Cut(what, part, heal)


def by_proxies(cluster: OwnCluster) -> Mapping[str, Kind]:
    """Kinds of cuts, where brokers reach NATS and one another by way of proxies."""

    def choose(random: Random) -> BrokerNode:
        return random.choice(cluster.brokers)

    def reset(random: Random) -> Cut:
        broker = choose(random)
        return _resets(f"links of broker {broker.name} to NATS reset", broker.links)

    def silence(random: Random) -> Cut:
        broker = choose(random)
        return _parts(f"links of broker {broker.name} to NATS silent", broker.links)

    def deafen(random: Random) -> Cut:
        broker = choose(random)
        return _parts(f"links of broker {broker.name} to NATS lose answers", broker.links, requests=False)

    def mute(random: Random) -> Cut:
        broker = choose(random)
        return _parts(f"links of broker {broker.name} to NATS lose requests", broker.links, answers=False)

    def part(random: Random) -> Cut:
        broker = choose(random)
        assert broker.door is not None
        return _parts(f"links of other brokers to {broker.name} silent", [broker.door])

    def part_one_way(random: Random) -> Cut:
        broker, is_mute = choose(random), random.random() < 0.5
        assert broker.door is not None
        what = f"links of other brokers to {broker.name} lose {'answers' if is_mute else 'requests'}"
        return _parts(what, [broker.door], requests=not is_mute, answers=is_mute)

    return {
        "cut-broker": reset,
        "silence-broker": silence,
        "deafen-broker": deafen,
        "mute-broker": mute,
        "part-brokers": part,
        "part-brokers-one-way": part_one_way,
    }


class InNetwork:
    """Kinds of cuts in a network of namespaces, where all links can be cut, in one direction too."""

    def __init__(self, cluster: OwnCluster, network: Namespaces) -> None:
        self._network = network
        self._brokers, self._servers = names(len(cluster.brokers), len(cluster.servers))

    @property
    def kinds(self) -> Mapping[str, Kind]:
        return {
            "cut-broker": self._reset,
            "silence-broker": self._silence,
            "deafen-broker": self._deafen,
            "mute-broker": self._mute,
            "part-brokers": self._part_brokers,
            "part-brokers-one-way": self._part_brokers_one_way,
            "unplug-broker": self._unplug_broker,
            "part-servers": self._part_servers,
            "mute-server": self._mute_server,
            "isolate-server": self._isolate_server,
            "unplug-server": self._unplug_server,
            "lose-quorum": self._lose_quorum,
        }

    def _cut(self, what: str, ways: Iterable[Way]) -> Cut:
        ways = list(ways)
        is_of_servers = all(name in self._servers for way in ways for name in way)
        return Cut(what, partial(self._network.lose, ways), partial(self._network.heal, ways), is_of_servers)

    def _unplug(self, what: str, name: str) -> Cut:
        is_server = name in self._servers
        return Cut(what, partial(self._network.unplug, name), partial(self._network.plug, name), is_server)

    def _reset(self, random: Random) -> Cut:
        broker = random.choice(self._brokers)
        what = f"links of broker {broker} to NATS reset"
        return Cut(what, partial(self._network.reset, broker, self._servers))

    def _silence(self, random: Random) -> Cut:
        broker = random.choice(self._brokers)
        return self._cut(f"links of broker {broker} to NATS silent", _both([broker], self._servers))

    def _deafen(self, random: Random) -> Cut:
        broker = random.choice(self._brokers)
        ways = [(server, broker) for server in self._servers]
        return self._cut(f"links of broker {broker} to NATS lose answers", ways)

    def _mute(self, random: Random) -> Cut:
        broker = random.choice(self._brokers)
        ways = [(broker, server) for server in self._servers]
        return self._cut(f"links of broker {broker} to NATS lose requests", ways)

    def _part_brokers(self, random: Random) -> Cut:
        broker = random.choice(self._brokers)
        return self._cut(f"links of other brokers to {broker} silent", _both([broker], self._brokers))

    def _part_brokers_one_way(self, random: Random) -> Cut:
        broker, is_mute = random.choice(self._brokers), random.random() < 0.5
        ways = [(broker, other) if is_mute else (other, broker) for other in self._brokers if other != broker]
        what = f"links of other brokers to {broker} lose what {'it sends' if is_mute else 'they send'}"
        return self._cut(what, ways)

    def _unplug_broker(self, random: Random) -> Cut:
        broker = random.choice(self._brokers)
        return self._unplug(f"cable of broker {broker} out", broker)

    def _part_servers(self, random: Random) -> Cut:
        one, other = random.sample(self._servers, 2)
        return self._cut(f"link between NATS {one} and {other} silent", _both([one], [other]))

    def _mute_server(self, random: Random) -> Cut:
        server = random.choice(self._servers)
        ways = [(server, other) for other in self._servers if other != server]
        return self._cut(f"links of NATS {server} to the others lose what it sends", ways)

    def _isolate_server(self, random: Random) -> Cut:
        server = random.choice(self._servers)
        return self._cut(f"links of NATS {server} to the others silent", _both([server], self._servers))

    def _unplug_server(self, random: Random) -> Cut:
        server = random.choice(self._servers)
        return self._unplug(f"cable of NATS {server} out", server)

    def _lose_quorum(self, _random: Random) -> Cut:
        return self._cut(QUORUM_GONE, permutations(self._servers, 2))


def _both(those: Iterable[str], others: Sequence[str]) -> list[Way]:
    """All ways between them, there and back."""
    pairs = [(one, other) for one in those for other in others if one != other]
    return [*pairs, *((other, one) for one, other in pairs)]
