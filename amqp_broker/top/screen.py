"""The live table on a terminal, drawn by rich; needs the extra `top`."""

from __future__ import annotations

import os
import select
import sys
import termios
import time
import tty
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from amqp_broker.top.api import Api, ApiUnavailableError
from amqp_broker.top.figures import ORDERS, Rates, look_at
from amqp_broker.top.words import FIRST_NUMBER, HEADS, RATES, alarms, count, queue_cells, resources, title, totals

BARS: Final = "▁▂▃▄▅▆▇█"
PAST: Final = 40
"""Rates that are drawn: so many looks."""

AROUND_TABLE: Final = 9
"""Lines that are not rows of queues."""

_SHARES: Final = {"VHOST": 1, "QUEUE": 4}
"""What these columns get of the room that is left; the others have what they need."""

_NEEDS_WIDTH: Final = {"ACK/S": 100, "TYPE": 90, "VHOST": 80, "CONSUMERS": 80, "DELIVER/S": 60, "PUBLISH/S": 48}
"""Narrower terminals do without these columns."""

_HEAD_OF_ORDER: Final = {
    "ready": "READY",
    "unacked": "UNACKED",
    "consumers": "CONSUMERS",
    "publish": "PUBLISH/S",
    "deliver": "DELIVER/S",
    "name": "QUEUE",
}


class Screen:
    """What is drawn: the last look, and rates of those before."""

    def __init__(self, order: str) -> None:
        self.order = order
        self.rates = Rates()
        self.problem = ""
        self._past = {name: deque[float](maxlen=PAST) for name in RATES}

    def next_order(self) -> None:
        names = list(ORDERS)
        self.order = names[(names.index(self.order) + 1) % len(names)]

    def update(self, api: Api, most: int) -> None:
        """Look; what stands in the way is shown, and the last figures stay."""
        try:
            self.rates.take(look_at(api, self.order, most))
        except ApiUnavailableError as error:
            self.problem = str(error)
            return
        self.problem = ""
        for name, counter in RATES.items():
            self._past[name].append(self.rates.of_all(counter))

    def drawn(self, width: int, height: int) -> RenderableType:
        """Everything, for a terminal of this size."""
        look = self.rates.now
        if look is None:
            return Text(self.problem, "bold red")
        short = alarms(look)
        head = Text(title(look), "bold", no_wrap=True, overflow="ellipsis")
        if self.problem:
            head.append(f"   {self.problem}; trying again", "bold red")
        elif short:
            head.append(f"   publishers are blocked: {' and '.join(short)} run short", "bold red")
        lines = [head, _pairs({**totals(look)}), _pairs(resources(look)), *self._rate_lines(), Text()]
        keys = Text("q quit   s another order   ", "dim", no_wrap=True, overflow="ellipsis")
        keys.append(f"sorted by {self.order}", "dim")
        if look.queue_count > len(look.queues):
            keys.append(f"   {len(look.queues)} of {look.queue_count:,} queues", "dim")
        return Group(*lines, self._table(width, max(1, height - AROUND_TABLE)), keys)

    def _rate_lines(self) -> Iterator[Text]:
        highest = max((rate for past in self._past.values() for rate in past), default=0.0)
        for name, past in self._past.items():
            line = Text(f"{name:<9}", "dim", no_wrap=True, overflow="crop").append(f"{count(past[-1]):>10}/s  ", "bold")
            yield line.append("".join(_bar(rate, highest) for rate in past), "cyan")

    def _table(self, width: int, rows: int) -> Table:
        assert self.rates.now is not None
        shown = [at for at, head in enumerate(HEADS) if width >= _NEEDS_WIDTH.get(head, 0)]
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", expand=True)
        for at in shown:
            head = HEADS[at]
            style = "bold reverse" if _HEAD_OF_ORDER.get(self.order) == head else "bold"
            table.add_column(
                Text(head, style),
                justify="right" if at >= FIRST_NUMBER else "left",
                ratio=_SHARES.get(head),
                no_wrap=True,
                overflow="ellipsis",
            )
        for queue in self.rates.now.queues[:rows]:
            cells = queue_cells(queue, self.rates)
            table.add_row(*(Text(cells[at], "dim" if cells[at] == "0" else "") for at in shown))
        return table


def show(api: Api, order: str, interval_s: float) -> None:
    """Draw until `q` or Ctrl-C. Raises ApiUnavailableError when the first look fails."""
    console = Console()
    screen = Screen(order)
    screen.rates.take(look_at(api, order, console.height))
    with _keys() as wait_key, Live(console=console, screen=True, auto_refresh=False) as live:
        ends = 0.0
        while True:
            if time.monotonic() >= ends:
                screen.update(api, console.height - AROUND_TABLE)
                ends = time.monotonic() + interval_s
            live.update(screen.drawn(console.width, console.height), refresh=True)
            key = wait_key(max(0.0, ends - time.monotonic()))
            if key in ("q", "Q", "\x03"):
                return
            if key == "s":
                screen.next_order()
                ends = 0.0


@contextmanager
def _keys() -> Iterator[Callable[[float], str]]:
    """Gives what waits for a key, for so many seconds: the key, or nothing; without keys it just waits."""
    if not sys.stdin.isatty():
        yield _no_key
        return
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    try:
        tty.setcbreak(descriptor)
        yield lambda seconds: _key(descriptor, seconds)
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _no_key(seconds: float) -> str:
    time.sleep(seconds)
    return ""


def _key(descriptor: int, seconds: float) -> str:
    readable, _, _ = select.select([descriptor], [], [], seconds)
    return os.read(descriptor, 1).decode("ascii", "replace") if readable else ""


def _pairs(texts: dict[str, str]) -> Text:
    line = Text(no_wrap=True, overflow="ellipsis")
    for name, text in texts.items():
        line.append(f"{name} ", "dim").append(f"{text}   ")
    return line


def _bar(rate: float, highest: float) -> str:
    return BARS[int(rate / highest * (len(BARS) - 1))] if highest else BARS[0]
