"""The history that dead-lettering leaves on a message, and its form in the header `x-death` (rule 4.38)."""

from __future__ import annotations

from enum import StrEnum

import attrs

from amqp_codec import Int64, Table, Timestamp, Value


class DeathReason(StrEnum):
    """Why a message was dead-lettered, as `x-death` spells it (rule 4.35)."""

    REJECTED = "rejected"
    EXPIRED = "expired"
    MAXLEN = "maxlen"
    DELIVERY_LIMIT = "delivery_limit"


@attrs.frozen(kw_only=True)
class Death:
    """One entry of `x-death`: a queue, a reason, and the first time it happened there."""

    queue: str
    reason: DeathReason
    count: int
    time_s: int
    exchange: str
    routing_keys: tuple[str, ...]
    original_expiration: str | None

    def to_table(self) -> Table:
        keys: list[Value] = [_octets(key) for key in self.routing_keys]
        table: Table = {
            "count": Int64(self.count),
            "reason": self.reason.encode(),
            "queue": _octets(self.queue),
            "time": Timestamp(self.time_s),
            "exchange": _octets(self.exchange),
            "routing-keys": keys,
        }
        if self.original_expiration is not None:
            table["original-expiration"] = _octets(self.original_expiration)
        return table

    @classmethod
    def from_table(cls, table: Table) -> Death:
        """Read what `to_table` wrote; only for headers this broker made itself (rule 4.40)."""
        keys, count, time_s = table["routing-keys"], table["count"], table["time"]
        assert isinstance(keys, list)
        assert isinstance(count, int)
        assert isinstance(time_s, int)
        return cls(
            queue=_text(table["queue"]),
            reason=DeathReason(_text(table["reason"])),
            count=int(count),
            time_s=int(time_s),
            exchange=_text(table["exchange"]),
            routing_keys=tuple(_text(key) for key in keys),
            original_expiration=_text(table["original-expiration"]) if "original-expiration" in table else None,
        )


def deaths_of(headers: Table) -> tuple[Death, ...]:
    """Read the history back from the headers of a message that was dead-lettered here."""
    tables = headers["x-death"]
    assert isinstance(tables, list)
    return tuple(Death.from_table(table) for table in tables if isinstance(table, dict))


def set_deaths(headers: Table, deaths: tuple[Death, ...], *, is_first: bool) -> None:
    """Write the history and its summaries into headers (rules 4.38 and 4.39)."""
    headers["x-death"] = [death.to_table() for death in deaths]
    for prefix in ("x-first-death", "x-last-death") if is_first else ("x-last-death",):
        headers[f"{prefix}-reason"] = deaths[0].reason.encode()
        headers[f"{prefix}-queue"] = _octets(deaths[0].queue)
        headers[f"{prefix}-exchange"] = _octets(deaths[0].exchange)


def _octets(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _text(value: Value) -> str:
    assert isinstance(value, bytes)
    return value.decode("utf-8", "surrogateescape")
