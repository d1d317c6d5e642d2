"""Makes up sequences: random, from a seed, and legal often enough that there is something to see.

A light model of what has been declared, bound and begun keeps most operations meaningful; now and then one is
wrong on purpose, for errors are answers too. What two versions of RabbitMQ would not do alike is left out here
when it can't be told afterwards: each such place names its rule.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any, Final

from interop.differential.operations import CLOSE_CONNECTION, DROP_CONNECTION, Operation
from interop.differential.player import NO_ACK

SHORT_TTL_MS: Final = 15
"""Passes within the pause after each step of a sequence that has one."""

LONG_TTL_MS: Final = 600_000

KEYS: Final = ("a", "b", "a.b", "a.b.c", "", "#", "a.*")
TYPES: Final = ("direct", "fanout", "topic", "headers")
CONNECTIONS: Final = 2
CHANNELS: Final = 2


class Generator:
    """The operations of one sequence, in the order in which they are asked for.

    Args:
        random: where all that is random comes from.
        number: of the sequence; part of all names, so that sequences share nothing.
    """

    def __init__(self, random: Random, number: int) -> None:
        self._random = random
        self._prefix = f"d{number}"
        self._uses_short_ttl = random.random() < 0.25
        self._uses_quorum = random.random() < 0.3
        self._counts_returns = random.random() < 0.5
        """Delivery limits are low; then nothing is returned but by reject, for 3.10 counts nacks too (rule 4.46)."""
        self._operations: list[Operation] = []
        self._exchanges: dict[str, str] = {}
        self._queues: dict[str, Mapping[str, Any]] = {}
        self._consumers: dict[str, tuple[int, int]] = {}
        self._modes: dict[tuple[int, int], str] = {}
        self._messages = 0
        self._tags = 0

    def sequence(self, length: int) -> list[Operation]:
        """Make up a sequence of about this many operations."""
        self._declare_queue()
        self._declare_exchange()
        self._bind_queue()
        steps = {
            self._declare_queue: 6,
            self._declare_exchange: 4,
            self._bind_queue: 6,
            self._bind_exchange: 2,
            self._unbind: 2,
            self._publish: 34,
            self._get: 10,
            self._consume: 9,
            self._cancel: 3,
            self._settle: 22,
            self._recover: 2,
            self._qos: 3,
            self._mode: 3,
            self._commit: 5,
            self._purge: 2,
            self._delete: 3,
            self._close: 2,
            self._mistake: 4,
        }
        while len(self._operations) < length:
            self._random.choices(list(steps), list(steps.values()))[0]()
        return self._operations

    # Where

    def _place(self) -> tuple[int, int]:
        # Mostly the first channel, so that something gathers on it.
        random = self._random
        connection = 0 if random.random() < 0.7 else random.randrange(CONNECTIONS)
        return connection, 1 if random.random() < 0.7 else random.randrange(1, CHANNELS + 1)

    def _do(self, place: tuple[int, int], call: str, **arguments: Any) -> None:
        self._operations.append(Operation(*place, call, arguments))

    def _in_transaction(self) -> bool:
        """Whether topology had better stay as it is: RabbitMQ 3.10 routes at commit (rule 6.12)."""
        return any(mode == "tx" for mode in self._modes.values())

    def _some_queue(self) -> str:
        return self._random.choice(list(self._queues))

    def _some_exchange(self) -> str:
        return self._random.choice([*self._exchanges, "amq.direct", "amq.fanout", "amq.topic", "amq.headers"])

    def _often(self, share: float) -> bool:
        return self._random.random() < share

    # Topology

    def _declare_queue(self) -> None:
        if self._in_transaction() and self._queues:
            return
        name = f"{self._prefix}.q{self._random.randrange(4)}"
        again = self._queues.get(name)
        if again is not None and self._often(0.7):
            flags = dict(again)
        elif self._uses_quorum and self._often(0.6):
            flags = {"durable": True, "arguments": self._quorum_arguments()}
        else:
            flags = {
                "durable": self._often(0.5),
                "exclusive": self._often(0.1),
                "auto_delete": self._often(0.15),
                "arguments": self._queue_arguments(),
            }
        if again is None:
            self._queues[name] = flags
        self._do(self._place(), "queue_declare", queue=name, **flags)

    def _queue_arguments(self) -> dict[str, Any]:
        random, arguments = self._random, self._common_arguments()
        if self._often(0.2):
            arguments["x-max-priority"] = random.choice([1, 5, 10])  # 0 is one level before 4.0 (rule 4.44)
        if self._often(0.2):
            arguments["x-max-length"] = random.randrange(4)
            if self._often(0.6):
                arguments["x-overflow"] = random.choice(["drop-head", "reject-publish", "reject-publish-dlx"])
        if self._often(0.05):
            arguments["x-max-length-bytes"] = random.choice([0, 10, 40])
        if self._often(0.1):
            arguments["x-single-active-consumer"] = self._often(0.9)
        if self._often(0.1):
            arguments["x-queue-mode"] = random.choice(["lazy", "default"])
        if self._often(0.05):
            arguments["x-something-else"] = random.choice([1, "one", None])
        if self._often(0.05):
            arguments["x-expires"] = LONG_TTL_MS
        return arguments

    def _quorum_arguments(self) -> dict[str, Any]:
        arguments = self._common_arguments()
        arguments["x-queue-type"] = "quorum"
        # 3.10 has no limit of its own, and without one returned messages go elsewhere (rules 4.46 and 4.48).
        arguments["x-delivery-limit"] = self._random.randrange(3) if self._counts_returns else 1000
        if self._often(0.1):
            arguments["x-single-active-consumer"] = True
        return arguments

    def _common_arguments(self) -> dict[str, Any]:
        random, arguments = self._random, dict[str, Any]()
        if self._often(0.4):
            arguments["x-dead-letter-exchange"] = random.choice(["", *self._exchanges, "amq.fanout", "missing"])
            if self._often(0.5):
                arguments["x-dead-letter-routing-key"] = random.choice(
                    [*(f"{self._prefix}.q{number}" for number in range(4)), "a"]
                )
        if self._often(0.25):
            arguments["x-message-ttl"] = self._ttl()
        return arguments

    def _ttl(self) -> int:
        return self._random.choice([SHORT_TTL_MS, 0] if self._uses_short_ttl else [LONG_TTL_MS, 0])

    def _declare_exchange(self) -> None:
        if self._in_transaction():
            return
        random = self._random
        name = f"{self._prefix}.e{random.randrange(3)}"
        type_ = self._exchanges.get(name)
        if type_ is None or self._often(0.2):
            type_ = random.choice(TYPES)
        arguments: dict[str, Any] = {}
        if self._often(0.2):
            arguments["alternate-exchange"] = random.choice([*self._exchanges, "amq.fanout", "missing", name])
        self._exchanges.setdefault(name, type_)
        self._do(
            self._place(),
            "exchange_declare",
            exchange=name,
            exchange_type=type_,
            durable=self._often(0.3),
            auto_delete=self._often(0.15),
            internal=self._often(0.05),
            arguments=arguments,
        )

    def _bind_queue(self) -> None:
        if self._in_transaction():
            return
        arguments = self._match_arguments() if self._often(0.4) else {}
        key = self._random.choice(KEYS)
        self._do(
            self._place(),
            "queue_bind",
            queue=self._some_queue(),
            exchange=self._some_exchange(),
            routing_key=key,
            arguments=arguments,
        )

    def _bind_exchange(self) -> None:
        if self._in_transaction() or not self._exchanges:
            return
        self._do(
            self._place(),
            "exchange_bind",
            destination=self._random.choice(list(self._exchanges)),
            source=self._some_exchange(),
            routing_key=self._random.choice(KEYS),
            arguments=self._match_arguments() if self._often(0.3) else {},
        )

    def _match_arguments(self) -> dict[str, Any]:
        arguments = dict[str, Any](self._header_values())
        if self._often(0.7):
            arguments["x-match"] = self._random.choice(["all", "any"])
        return arguments

    def _header_values(self) -> dict[str, Any]:
        random = self._random
        values = ["1", 1, 2, True, None, 2**40]
        return {name: random.choice(values) for name in random.sample(["h", "i", "x-j"], random.randrange(3))}

    def _unbind(self) -> None:
        if self._in_transaction():
            return
        bound = [operation for operation in self._operations if operation.call in ("queue_bind", "exchange_bind")]
        if bound:
            operation = self._random.choice(bound)
            self._do(self._place(), operation.call.replace("_bind", "_unbind"), **operation.arguments)

    def _delete(self) -> None:
        if self._in_transaction():
            return
        if self._often(0.6):
            name = self._some_queue()
            if_unused, if_empty = self._often(0.3), self._often(0.3)
            self._do(self._place(), "queue_delete", queue=name, if_unused=if_unused, if_empty=if_empty)
        elif self._exchanges:
            name = self._random.choice(list(self._exchanges))
            self._do(self._place(), "exchange_delete", exchange=name, if_unused=self._often(0.3))

    def _purge(self) -> None:
        self._do(self._place(), "queue_purge", queue=self._some_queue())

    # Messages

    def _publish(self) -> None:
        random = self._random
        self._messages += 1
        if self._often(0.55):
            exchange, key = "", self._some_queue()
        else:
            exchange, key = self._some_exchange(), random.choice(KEYS)
        self._operations.append(
            Operation(
                *self._place(),
                "basic_publish",
                {"exchange": exchange, "routing_key": key, "mandatory": self._often(0.3)},
                self._properties(),
                b"m%d" % self._messages + b"." * random.choice([0, 0, 0, 7, 30]),
            )
        )

    def _properties(self) -> dict[str, Any]:
        random, properties = self._random, dict[str, Any]()
        if self._often(0.4):
            properties["delivery_mode"] = random.choice([1, 2, 2])
        if self._often(0.3) and not self._uses_quorum:  # rule 4.44: quorum queues of 3.10 know no priority
            properties["priority"] = random.choice([0, 1, 3, 9, 200])
        if self._often(0.15):
            properties["expiration"] = str(self._ttl())
        if self._often(0.4):
            headers = self._header_values()
            copies = [f"{self._prefix}.q{random.randrange(4)}", random.choice(KEYS)]
            if self._often(0.3):
                headers["CC"] = copies[: random.randrange(3)]
            if self._often(0.2):
                headers["BCC"] = copies[: random.randrange(3)]
            if self._often(0.1):
                headers["more"] = {"list": [1, "two", None, {"three": 3.0 > 1}], "long": 2**50}
            properties["headers"] = headers
        for name, value in (
            ("content_type", "text/plain"),
            ("correlation_id", ""),
            ("message_id", "id-1"),
            ("reply_to", "somebody"),
            ("timestamp", 1_700_000_000),
            ("type", "t"),
            ("user_id", "guest"),
            ("app_id", "app"),
        ):
            if self._often(0.05):
                properties[name] = value
        return properties

    def _get(self) -> None:
        self._do(self._place(), "basic_get", queue=self._some_queue(), auto_ack=self._often(0.3))

    def _consume(self) -> None:
        place = self._place()
        auto_ack = self._often(0.3)
        self._tags += 1
        tag = f"t{self._tags}{NO_ACK if auto_ack else ''}"
        self._consumers[tag] = place
        arguments = {"x-priority": self._random.choice([-1, 1, 5])} if self._often(0.2) else {}
        self._do(
            place,
            "basic_consume",
            queue=self._some_queue(),
            auto_ack=auto_ack,
            exclusive=self._often(0.07),
            consumer_tag=tag,
            arguments=arguments,
        )

    def _cancel(self) -> None:
        if self._consumers:
            tag = self._random.choice(list(self._consumers))
            self._do(self._consumers.pop(tag), "basic_cancel", consumer_tag=tag)

    def _settle(self) -> None:
        random = self._random
        pick, multiple, requeue = round(random.random(), 2), self._often(0.25), self._often(0.5)
        call = random.choice(["basic_ack", "basic_ack", "basic_nack", "basic_reject"])
        if self._uses_quorum and self._counts_returns and call == "basic_nack":
            requeue = False
        arguments = {"pick": pick}
        if call != "basic_reject":
            arguments["multiple"] = multiple
        if call != "basic_ack":
            arguments["requeue"] = requeue
        self._do(self._place(), call, **arguments)

    def _recover(self) -> None:
        if not (self._uses_quorum and self._counts_returns):
            self._do(self._place(), "basic_recover", requeue=True)

    def _qos(self) -> None:
        # A limit of the channel is refused beside quorum queues, and ours is not (rule 4.49).
        global_qos = not self._uses_quorum and self._often(0.3)
        self._do(self._place(), "basic_qos", prefetch_count=self._random.randrange(4), global_qos=global_qos)

    # Modes and ends

    def _mode(self) -> None:
        place = self._place()
        mode = self._random.choice(["tx", "confirm"])
        self._modes.setdefault(place, mode)
        self._do(place, "tx_select" if mode == "tx" else "confirm_delivery")

    def _commit(self) -> None:
        places = [place for place, mode in self._modes.items() if mode == "tx"]
        if places:
            self._do(self._random.choice(places), self._random.choice(["tx_commit", "tx_commit", "tx_rollback"]))

    def _close(self) -> None:
        place = self._place()
        how = self._random.choice(["close", "close", CLOSE_CONNECTION, DROP_CONNECTION])
        self._modes = {
            each: mode
            for each, mode in self._modes.items()
            if (each != place if how == "close" else each[0] != place[0])
        }
        self._do(place, how)

    def _mistake(self) -> None:
        random, place = self._random, self._place()
        queue = self._some_queue()
        message = {"exchange": "", "routing_key": queue, "mandatory": False}
        choice = random.randrange(16)
        if choice == 0:
            self._do(place, "queue_declare", queue=f"{self._prefix}.missing", passive=True)
        elif choice == 1:
            self._do(place, "queue_declare", queue=queue, passive=True)
        elif choice == 2:
            self._do(
                place, "exchange_declare", exchange=f"{self._prefix}.missing", exchange_type="direct", passive=True
            )
        elif choice == 3:
            self._do(place, "queue_declare", queue="amq.forbidden", durable=True)
        elif choice == 4:
            self._do(place, "exchange_declare", exchange="amq.forbidden", exchange_type="direct")
        elif choice == 5:
            self._do(place, "queue_bind", queue=queue, exchange=f"{self._prefix}.missing", routing_key="")
        elif choice == 6:
            self._do(place, random.choice(["basic_ack", "basic_nack"]), delivery_tag=random.choice([0, 999]))
        elif choice == 7:
            self._do(place, "basic_consume", queue=f"{self._prefix}.missing", consumer_tag="nothing")
        elif choice == 8:
            self._do(place, "basic_get", queue=f"{self._prefix}.missing", auto_ack=True)
        elif choice == 9:
            self._do(place, "exchange_delete", exchange="amq.topic")
        elif choice == 10:
            self._do(place, "queue_delete", queue=f"{self._prefix}.missing")
        elif choice == 11:
            self._do(place, "queue_bind", queue=queue, exchange="", routing_key="a")
        elif choice == 12:
            where = {"exchange": f"{self._prefix}.missing", "routing_key": "a", "mandatory": self._often(0.5)}
            self._operations.append(Operation(*place, "basic_publish", where, {}, b"lost"))
        elif choice == 13:
            wrong = random.choice(["x", "-1", "1.5", "", "99999999999999"])
            self._operations.append(Operation(*place, "basic_publish", message, {"expiration": wrong}, b"bad"))
        elif choice == 14:
            wrong_headers: dict[str, Any] = {random.choice(["CC", "BCC"]): random.choice(["text", 5, None])}
            self._operations.append(Operation(*place, "basic_publish", message, {"headers": wrong_headers}, b"bad"))
        else:
            self._operations.append(Operation(*place, "basic_publish", message, {"user_id": "somebody"}, b"bad"))


def needs_pause(operations: Sequence[Operation]) -> bool:
    """Whether there is a TTL in a sequence that is to pass between its steps."""
    return any(
        operation.arguments.get("arguments", {}).get("x-message-ttl") == SHORT_TTL_MS
        or (operation.properties or {}).get("expiration") == str(SHORT_TTL_MS)
        for operation in operations
    )
