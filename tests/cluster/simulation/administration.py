"""What is administered in a simulated cluster, at whichever node, and what of it has to be there in the end."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from contextlib import suppress
from functools import partial
from random import Random

import attrs

from amqp_broker.administration import parameters, permissions, users, vhosts
from amqp_broker.administration.errors import AdministrationError
from amqp_broker.broker import Broker
from amqp_broker.cluster.meta import key_of
from amqp_broker.storage.definitions import KEYS, Change, ChangeKind, text_of
from tests.cluster.simulated_log import SimulatedTable

NAMES = ("x", "y")
USERS = ("ann", "bob")
VHOST = "extra"


@attrs.define(eq=False)
class _Write:
    """A value that was given to a name; None: it was cleared. When it began, and when it was confirmed."""

    value: int | None
    began_at: int
    ended_at: float = math.inf


class Administration:
    """Does things at brokers. Parameters have values of which each is given once, so that it can be told which won."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._moment = 0
        self._seen: dict[str, int] = {}
        self._writes: defaultdict[str, list[_Write]] = defaultdict(list)

    def act(self, broker: Broker) -> None:
        """Change something."""
        random = self._random
        user = random.choice(USERS)
        kind = random.choice(("parameter", "parameter", "clear", "user", "delete user", "rights", "vhost", "policy"))
        with suppress(AdministrationError):  # it is not there
            if kind in ("parameter", "clear"):
                self._write(broker, random.choice(NAMES), has_value=kind == "parameter")
            elif kind == "user":
                users.put_user(broker, user, "secret", random.choice(((), ("monitoring",))))
            elif kind == "delete user":
                users.delete_user(broker, user)
            elif kind == "rights":
                permissions.set_permissions(broker, user, random.choice(("/", VHOST)), "", "", random.choice("ab"))
            elif kind == "policy":
                parameters.set_policy(broker, VHOST, "p", ".*", {"max-length": random.randint(1, 9)})
            elif VHOST in broker.vhosts:
                vhosts.delete_vhost(broker, VHOST)
            else:
                vhosts.add_vhost(broker, VHOST)

    def _write(self, broker: Broker, name: str, *, has_value: bool) -> None:
        self._moment += 1
        write = _Write(self._moment if has_value else None, self._moment)
        if has_value:
            parameters.set_global_parameter(broker, name, self._moment)
        else:
            parameters.clear_global_parameter(broker, name)
        self._writes[name].append(write)
        broker.storage.when_durable(partial(self._confirmed, write))

    def _confirmed(self, write: _Write) -> None:
        self._moment += 1
        write.ended_at = self._moment

    @property
    def confirmed(self) -> int:
        return sum(write.ended_at < math.inf for writes in self._writes.values() for write in writes)

    def look(self, table: SimulatedTable) -> None:
        """See that nothing in the table was overtaken: begun after its confirm, and confirmed as well."""
        for name, writes in self._writes.items():
            found, revision = table.values.get(
                key_of(ChangeKind.PARAMETER_SET, {"component": "", "name": name}), (None, 0)
            )
            if revision == self._seen.get(name, 0):
                continue
            self._seen[name] = revision
            value = None if found is None else json.loads(text_of(Change.decode(found[0], found[1:]).table, "value"))
            begun_at = max((write.began_at for write in writes if write.ended_at < math.inf), default=0)
            ended_at = max((write.ended_at for write in writes if write.value == value), default=0)
            assert ended_at > begun_at or not begun_at, f"{name!r} has {value}, and another one was confirmed later"


def state(broker: Broker) -> set[str]:
    """All that is administered there."""
    return {
        repr((change.kind, sorted(change.table.items(), key=str)))
        for change in broker.definitions()
        if change.kind in KEYS
    }
