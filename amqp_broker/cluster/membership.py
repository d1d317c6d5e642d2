"""Who is there, and who owns which vhost. Sans-IO: told what the table of keys says, it says what to do.

Each node refreshes a key of its own; each vhost has a lease, a key that names its owner and is only ever changed by
comparing its revision. Whose key does not change for `DEAD_S` is taken for dead by the others, each by its own clock,
and their leases are taken over; who goes first follows from a hash of node and vhost. Being wrong about that costs a
moved vhost and never a message: what fences an owner is the log, which takes nothing from whoever was succeeded.

Time others are silent is counted in our own refreshments that the watch has told us of: it tells in the order of
revisions, so what they did before that we know. A node that was paused or cut off judges nobody, nor does anybody while
the table takes nothing, or right after that. A node to which its own refreshments do not come back says so in them, and
these do not count: it reaches the table, and is not heard to be answered.

Wishes are keys too: `transfer` and `drain` can be asked of any node, and the owner obeys.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Iterable
from enum import Enum, auto
from typing import Any, Final, TypeAlias

import attrs

HEARTBEAT_S: Final = 0.5
DEAF_HEARTBEAT_S: Final = 0.25
"""While our own do not come back: soon after the table can be reached again the others are to know."""
DEAD_S: Final = 2.5
NEXT_S: Final = 1.0
"""How much later each further candidate for a vhost goes."""

BALANCE_S: Final = 30.0
"""A vhost is moved for balance so long after the last that was moved, and after nodes came or went: each time its
clients have to connect anew."""

GAP_S: Final = 2 * HEARTBEAT_S
"""More than this is not counted between two of our own refreshments: the table took nothing then, from nobody."""

PROMPT_S: Final = 3 * HEARTBEAT_S
"""The table of keys is in order if it has told us of our own key so lately: only then a vhost is moved that could stay,
for it would be nobody's while the table takes nothing."""

RETRY_S: Final = 5.0
"""After so long a vhost that could not be opened is tried again, where nobody else can."""

NODE: Final = "node."
LEASE: Final = "lease."
WISH: Final = "wish."
DRAIN: Final = "drain."


def name_in_key(name: str) -> str:
    """The name of a node as keys have it."""
    return base64.urlsafe_b64encode(name.encode("utf-8", "surrogateescape")).decode()


@attrs.frozen
class Put:
    """Set a key."""

    key: str
    value: bytes


@attrs.frozen
class Change:
    """Set a key that has this revision; 0: that is not there."""

    key: str
    value: bytes
    revision: int


@attrs.frozen
class Delete:
    """Delete a key."""

    key: str


def transfer(vhost: str, node: str) -> Put:
    """What to do for a vhost, by its key, to move to a node."""
    return Put(WISH + vhost, node.encode())


def drain(node: str) -> Put:
    """What to do for a node to be rid of its vhosts; it gets none until this is undone by `undrain`."""
    return Put(DRAIN + name_in_key(node), b"drain")


def undrain(node: str) -> Delete:
    return Delete(DRAIN + name_in_key(node))


@attrs.frozen
class TakeOver:
    """The vhost is ours: open it, and say `opened` or `failed`."""

    vhost: str


@attrs.frozen
class GiveUp:
    """Stop the vhost in order, and say `closed`."""

    vhost: str
    target: str


@attrs.frozen
class Abandon:
    """The vhost is somebody else's: drop it as it is."""

    vhost: str


Action: TypeAlias = Put | Change | Delete | TakeOver | GiveUp | Abandon


@attrs.define(eq=False)
class Member:
    """A node, as its key has it.

    Attributes:
        run: tells this life of it from others.
        info: what else it says of itself.
        seen_at: when its key was last seen to have changed, in the table's time.
        leaves: it is ending, and is to get nothing more.
        is_gone: it has taken leave.
    """

    name: str
    run: str
    info: dict[str, Any]
    seen_at: float
    leaves: bool = False
    is_gone: bool = False


@attrs.define(eq=False)
class Lease:
    """Who owns a vhost.

    Attributes:
        node: the owner's name; empty if nobody has had it.
        run: the life of the owner that took it; empty if it was given to it.
        revision: of the key.
    """

    node: str
    run: str
    revision: int


class Phase(Enum):
    """How far a vhost is that we own."""

    OPENING = auto()
    OPEN = auto()
    FAILED = auto()
    CLOSING = auto()
    CLOSED = auto()


@attrs.define(eq=False)
class _Holding:
    phase: Phase = Phase.OPENING
    target: str = ""
    """To whom it goes once it is closed."""
    retry_at: float = math.inf


class Membership:
    """One node's view. All methods belong to one thread; every `now` is this machine's monotonic clock, in seconds.

    Attributes:
        name: of this node.
        members: by name, this node as well once its key has been seen.
        leases: by vhost key.
        draining: nodes that are to own nothing.
        info: what others are told of this node from its next refreshment on; JSON.
    """

    def __init__(self, name: str, run: str, info: dict[str, Any], now: float) -> None:
        self.name = name
        self.members: dict[str, Member] = {}
        self.leases: dict[str, Lease] = {}
        self.draining: set[str] = set()
        self._run = run
        self.info = info
        self._vhosts: set[str] = set()
        self._wishes: dict[str, str] = {}
        self._holdings: dict[str, _Holding] = {}
        self._asked: set[str] = set()
        """Leases that we are changing, of which we do not know the outcome."""
        self._free_since: dict[str, float] = {}
        """Since when a vhost has had no living owner, for all we know."""
        self._beat_at = -math.inf
        self._told_at = -math.inf
        """When the watch last told of our own key."""
        self._table_s = 0.0
        """The table's time then: seconds of ours, but for those in which it took nothing."""
        self._moved_at = now
        """When nodes last came or went, or a vhost was moved."""
        self._leaves = False

    # What is known

    def is_alive(self, name: str) -> bool:
        """Whether a node is there, as far as can be told from here."""
        member = self.members.get(name)
        return member is not None and not member.is_gone and self._table_s - member.seen_at < DEAD_S

    def alive(self) -> list[str]:
        return [name for name in self.members if self.is_alive(name)]

    def owner_of(self, vhost: str) -> str | None:
        """The node that a vhost's clients are to go to; None while nobody is known to be there for them."""
        lease = self.leases.get(vhost)
        return lease.node if lease is not None and self.is_alive(lease.node) else None

    def is_isolated(self, now: float) -> bool:
        """Whether others will take this node for dead, if they have not yet: its own key does not come back."""
        return now - self._told_at >= DEAD_S

    @property
    def owned(self) -> list[str]:
        return list(self._holdings)

    def counts(self) -> dict[str, int]:
        """How many vhosts each node owns that is there and may own some."""
        counts = dict.fromkeys(self._willing(), 0)
        for vhost, lease in self.leases.items():
            if lease.node in counts and vhost in self._vhosts:
                counts[lease.node] += 1
        return counts

    # What is told

    def vhosts_are(self, vhosts: Iterable[str]) -> None:
        """All vhosts that there are, by their keys."""
        self._vhosts = set(vhosts)

    def seen(self, key: str, value: bytes | None, revision: int, now: float) -> None:
        """The watch has told of a key."""
        if key.startswith(NODE):
            self._seen_node(value, key.removeprefix(NODE), now)
        elif key.startswith(LEASE):
            self._seen_lease(key.removeprefix(LEASE), value, revision)
            self._moved_at = now
        elif key.startswith(WISH):
            vhost = key.removeprefix(WISH)
            if value is None:
                self._wishes.pop(vhost, None)
            else:
                self._wishes[vhost] = value.decode()
        elif key.startswith(DRAIN):
            name = base64.urlsafe_b64decode(key.removeprefix(DRAIN)).decode("utf-8", "surrogateescape")
            (self.draining.discard if value is None else self.draining.add)(name)

    def _seen_node(self, value: bytes | None, encoded: str, now: float) -> None:
        if value is None:
            name = base64.urlsafe_b64decode(encoded).decode("utf-8", "surrogateescape")
            if name in self.members:
                self.members[name].is_gone = True
                self._moved_at = now
            return
        said = json.loads(value)
        name, run = said["name"], said["run"]
        before = self.members.get(name)
        if before is None or before.run != run or not self.is_alive(name):
            self._moved_at = now
        seen_at = self._table_s + min(now - self._told_at, GAP_S) if self._told_at > -math.inf else 0.0
        if name == self.name and run == self._run:
            if self._is_deaf(now):
                self._beat_at = -math.inf  # which is to be said before we are taken for dead
            self._table_s, self._told_at = seen_at, now
        elif before is not None and before.run == run and said.get("is_deaf"):
            seen_at = before.seen_at  # it can say so, and confirm nothing
        self.members[name] = Member(name, run, said["info"], seen_at, said["leaves"])

    def _seen_lease(self, vhost: str, value: bytes | None, revision: int) -> None:
        lease = self.leases.get(vhost)
        if lease is not None and revision < lease.revision:
            return
        said = {"node": "", "run": ""} if value is None else json.loads(value)
        self.leases[vhost] = Lease(said["node"], said["run"], revision)
        self._asked.discard(vhost)

    def done(self, action: Change, revision: int | None) -> None:
        """A `Change` has been made, or None: it was refused, or nobody knows."""
        vhost = action.key.removeprefix(LEASE)
        self._asked.discard(vhost)
        if revision is not None:
            self._seen_lease(vhost, action.value, revision)

    def opened(self, vhost: str) -> None:
        """A vhost that was to be taken over is open."""
        if (holding := self._holdings.get(vhost)) is not None and holding.phase is Phase.OPENING:
            holding.phase = Phase.OPEN

    def failed(self, vhost: str, now: float) -> None:
        """It can't be opened here: somebody else may try, or we again later."""
        if (holding := self._holdings.get(vhost)) is not None:
            holding.phase = Phase.FAILED
            holding.retry_at = now + RETRY_S

    def closed(self, vhost: str) -> None:
        """A vhost that was to be given up is closed, in order or not."""
        if (holding := self._holdings.get(vhost)) is not None:
            holding.phase = Phase.CLOSED

    def leave(self) -> None:
        """This node ends: give all vhosts to others; when `owned` is empty, `farewell` is the last there is to do."""
        self._leaves = True
        self._beat_at = -math.inf

    def farewell(self) -> list[Action]:
        """Take leave, so that nobody waits for us."""
        return [Delete(NODE + name_in_key(self.name))]

    # What is to be done

    def tick(self, now: float) -> list[Action]:
        """What is to be done now; to be called a few times a second, and after anything was told."""
        actions: list[Action] = []
        if now - self._beat_at >= (DEAF_HEARTBEAT_S if self._is_deaf(now) else HEARTBEAT_S):
            self._beat_at = now
            actions.append(Put(NODE + name_in_key(self.name), self._card(now)))
        if self._told_at == -math.inf:
            return actions  # not there yet
        self._look_at_leases(actions)
        for vhost in sorted(self._vhosts):
            if vhost not in self._asked:
                self._look_at(vhost, actions, now)
        self._balance(actions, now)
        return actions

    def _card(self, now: float) -> bytes:
        card: dict[str, object] = {"name": self.name, "run": self._run, "leaves": self._leaves, "info": self.info}
        if self._is_deaf(now):
            card["is_deaf"] = True
        return json.dumps(card).encode()

    def _is_deaf(self, now: float) -> bool:
        """Our own refreshments do not come back."""
        return math.inf > now - self._told_at > GAP_S

    def _look_at_leases(self, actions: list[Action]) -> None:
        """Bring what we hold into line with what the leases say."""
        for vhost, lease in self.leases.items():
            is_ours = lease.node == self.name and vhost in self._vhosts
            if not is_ours and vhost in self._holdings:
                if self._holdings.pop(vhost).phase not in (Phase.CLOSED, Phase.FAILED):
                    actions.append(Abandon(vhost))
            elif is_ours and lease.run == self._run and vhost not in self._holdings:
                self._holdings[vhost] = _Holding()
                actions.append(TakeOver(vhost))

    def _look_at(self, vhost: str, actions: list[Action], now: float) -> None:
        lease = self.leases.get(vhost) or Lease("", "", 0)
        holding = self._holdings.get(vhost)
        if holding is not None:
            self._look_at_ours(vhost, lease, holding, actions, now)
        elif lease.node == self.name:
            self._ask(vhost, lease, self.name, actions)  # given to us, or our own from an earlier life
        elif self.is_alive(lease.node):
            self._free_since.pop(vhost, None)
        elif not self._leaves:
            since = self._free_since.setdefault(vhost, now)
            candidates = self._candidates(vhost)
            if self.name in candidates and now >= since + NEXT_S * candidates.index(self.name):
                self._ask(vhost, lease, self.name, actions)

    def _look_at_ours(self, vhost: str, lease: Lease, holding: _Holding, actions: list[Action], now: float) -> None:
        if holding.phase is Phase.CLOSED:
            target = holding.target if self.is_alive(holding.target) else self._somebody_else(vhost)
            if target or self._leaves:
                self._ask(vhost, lease, target, actions)
            else:
                self._again(vhost, holding, actions)
        elif holding.phase is Phase.FAILED:
            target = self._somebody_else(vhost)
            if target or self._leaves:
                self._ask(vhost, lease, target, actions)
            elif now >= holding.retry_at:
                self._again(vhost, holding, actions)
        elif holding.phase is Phase.OPEN:
            wish = self._wishes.get(vhost)
            if wish is not None:
                actions.append(Delete(WISH + vhost))
                del self._wishes[vhost]
                if wish != self.name and self.is_alive(wish):
                    self._give_up(vhost, holding, wish, actions)
            elif self._leaves or self.name in self.draining:
                target = self._somebody_else(vhost)
                if target or self._leaves:
                    self._give_up(vhost, holding, target, actions)

    def _again(self, vhost: str, holding: _Holding, actions: list[Action]) -> None:
        holding.phase = Phase.OPENING
        actions.append(TakeOver(vhost))

    def _give_up(self, vhost: str, holding: _Holding, target: str, actions: list[Action]) -> None:
        holding.phase, holding.target = Phase.CLOSING, target
        actions.append(GiveUp(vhost, target))

    def _ask(self, vhost: str, lease: Lease, node: str, actions: list[Action]) -> None:
        """Have the lease name a node; nobody's, if there is none."""
        run = self._run if node == self.name else ""
        self._asked.add(vhost)
        actions.append(Change(LEASE + vhost, json.dumps({"node": node, "run": run}).encode(), lease.revision))

    def _candidates(self, vhost: str) -> list[str]:
        """Nodes that may own a vhost, in the order in which they should try to."""
        names = self._willing() or self.alive()
        return sorted(names, key=lambda name: hashlib.sha256(f"{name} {vhost}".encode()).digest())

    def _willing(self) -> list[str]:
        """Nodes that are there and may own vhosts."""
        return [name for name in self.alive() if name not in self.draining and not self.members[name].leaves]

    def _somebody_else(self, vhost: str) -> str:
        """Who is to have a vhost that can't stay: whoever has least; empty if nobody else is there."""
        counts = self.counts()
        others = [name for name in self._candidates(vhost) if name != self.name and name in counts]
        return min(others, key=counts.__getitem__, default="")

    def _balance(self, actions: list[Action], now: float) -> None:
        """Whoever has most gives one vhost to whoever has fewest, if that is less by two and nothing moved of late."""
        if now - self._moved_at < BALANCE_S or now - self._told_at > PROMPT_S:
            return
        self._moved_at = now
        by_count = sorted((count, name) for name, count in self.counts().items())
        if not by_count or by_count[-1][1] != self.name or by_count[-1][0] < by_count[0][0] + 2:
            return
        mine = [vhost for vhost, holding in self._holdings.items() if holding.phase is Phase.OPEN]
        if mine:
            self._give_up(min(mine), self._holdings[min(mine)], by_count[0][1], actions)
