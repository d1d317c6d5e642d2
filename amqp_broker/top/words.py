"""Figures as text, and one look as lines of text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from amqp_broker.top.figures import Look, Rates

RATES: Final = {"publish": "publish", "deliver": "deliver_get", "ack": "ack"}
"""What is shown of messages a second, by the counter of the API."""

HEADS: Final = ("VHOST", "QUEUE", "TYPE", "READY", "UNACKED", "CONSUMERS", "PUBLISH/S", "DELIVER/S", "ACK/S")
FIRST_NUMBER: Final = 3
"""The column from which on there are numbers."""


def printable(text: str) -> str:
    """A name without what would steer a terminal: clients name things as they like."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def count(number: float) -> str:
    return f"{number:,.0f}"


def octets(number: float) -> str:
    units = ("KiB", "MiB", "GiB", "TiB")
    if number < 1024:
        return f"{number:,.0f} B"
    power = min(len(units), (int(number).bit_length() - 1) // 10)
    return f"{number / 1024**power:,.1f} {units[power - 1]}"


def duration(ms: float) -> str:
    seconds = int(ms // 1000)
    for unit, size, less, part in (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)):
        if seconds >= size:
            return f"{seconds // size} {unit} {seconds % size // part} {less}"
    return f"{seconds} s"


def title(look: Look) -> str:
    overview = look.overview
    what = f"{overview.get('product_name', 'RabbitMQ')} {overview.get('product_version', '')}".strip()
    up = "" if look.node is None else f", up {duration(look.node.get('uptime', 0))}"
    return printable(f"{overview.get('cluster_name', overview['node'])}  {what}{up}")


def alarms(look: Look) -> list[str]:
    """What runs short, so that publishers are blocked."""
    node = look.node or {}
    return [name for name, key in (("memory", "mem_alarm"), ("disk", "disk_free_alarm")) if node.get(key)]


def totals(look: Look) -> dict[str, str]:
    """What there is, by its name."""
    there = look.overview.get("object_totals") or {}
    messages = look.overview.get("queue_totals") or {}
    shown = {
        "ready": messages.get("messages_ready", 0),
        "unacked": messages.get("messages_unacknowledged", 0),
    } | {name: there.get(name, 0) for name in ("connections", "channels", "consumers", "queues", "exchanges")}
    return {name: count(number) for name, number in shown.items()}


def resources(look: Look) -> dict[str, str]:
    """What is used of the machine, by its name; nothing for users who may not see it."""
    if look.node is None:
        return {}
    node = look.node
    return {
        "memory": f"{octets(node.get('mem_used', 0))} of {octets(node.get('mem_limit', 0))}",
        "disk": f"{octets(node.get('disk_free', 0))} free",
        "files": f"{count(node.get('fd_used', 0))} of {count(node.get('fd_total', 0))}",
    }


def queue_cells(queue: dict[str, Any], rates: Rates) -> tuple[str, ...]:
    """A row below `HEADS`."""
    return (
        printable(queue["vhost"]),
        printable(queue["name"]),
        queue.get("type", ""),
        *(count(queue.get(name, 0)) for name in ("messages_ready", "messages_unacknowledged", "consumers")),
        *(count(rates.of_queue(queue, counter)) for counter in RATES.values()),
    )


def snapshot(rates: Rates) -> Iterator[str]:
    """The last look, as lines for people and for `awk`: columns are divided by two spaces and more."""
    look = rates.now
    assert look is not None
    yield title(look)
    yield "  ".join(f"{name} {number}" for name, number in totals(look).items())
    yield "  ".join(f"{name} {count(rates.of_all(counter))}/s" for name, counter in RATES.items())
    if look.node is not None:
        used = "  ".join(f"{name} {text}" for name, text in resources(look).items())
        yield f"{used}  alarms {', '.join(alarms(look)) or 'none'}"
    yield ""
    rows = [HEADS, *(queue_cells(queue, rates) for queue in look.queues)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        texts = (
            cell.rjust(width) if at >= FIRST_NUMBER else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        yield "  ".join(texts).rstrip()
    if len(look.queues) < look.queue_count:
        yield f"{look.queue_count - len(look.queues):,} more"
