"""Heartbeats of one connection: when to send one, and when the peer has been silent too long.

Owns no clock and no timer task: it plans its looks with the broker's timers (rules 1.24 to 1.29).
"""

from __future__ import annotations

from collections.abc import Callable

from amqp_broker.outbox import Outbox
from amqp_broker.timers import Timer, Timers

SILENT_LOOKS = 2
"""So many looks in a row without an octet received, and the peer is taken for dead (rule 1.26)."""


class Heartbeat:
    """Looks at both directions of a connection at their intervals.

    Attributes:
        interval_s: 0 turns both directions off.
        received_octets: octets read so far; the connection counts them here.
        is_paused: nothing is read because the connection is blocked, so silence says nothing (1.29).
    """

    def __init__(
        self,
        interval_s: int,
        timers: Timers,
        outbox: Outbox,
        send: Callable[[], None],
        dead: Callable[[], None],
    ) -> None:
        self.received_octets = 0
        self.is_paused = False
        self.interval_s = interval_s
        self._timers = timers
        self._outbox = outbox
        self._send = send
        self._dead = dead
        self._seen_received = 0
        self._seen_pushed = -1
        self._silent_looks = 0
        self._send_timer: Timer | None = None
        self._receive_timer: Timer | None = None
        if interval_s:
            self._send_timer = timers.after(interval_s / 2, self._look_at_sending)
            self._receive_timer = timers.after(interval_s, self._look_at_receiving)

    def stop(self) -> None:
        for timer in (self._send_timer, self._receive_timer):
            if timer is not None:
                timer.cancel()

    def _look_at_sending(self) -> None:
        """Send if nothing was written since the last look; at the first look in any case (rule 1.25)."""
        if self._outbox.pushed_octets == self._seen_pushed or self._seen_pushed < 0:
            self._send()
        self._seen_pushed = self._outbox.pushed_octets
        self._send_timer = self._timers.after(self.interval_s / 2, self._look_at_sending)

    def _look_at_receiving(self) -> None:
        if self.received_octets != self._seen_received or self.is_paused:
            self._silent_looks = 0
        else:
            self._silent_looks += 1
        self._seen_received = self.received_octets
        if self._silent_looks >= SILENT_LOOKS:
            self._dead()
        else:
            self._receive_timer = self._timers.after(self.interval_s, self._look_at_receiving)
