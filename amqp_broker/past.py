"""What was counted on things that are gone: totals never go down while the process lives."""

from __future__ import annotations

from collections import Counter, defaultdict

import attrs

from amqp_broker.counters import MessageCounters, SizeCounters


@attrs.define(eq=False)
class Past:
    """The counters of a vhost's channels and queues that have ended, or of a broker's vhosts.

    Attributes:
        messages: what channels have done with messages.
        sizes: how large the messages were that they brought.
        queues: what has happened in queues, by queue type.
        dead_letters: messages that died, with those in queues that are still there: by queue type, what is done
            with the dead ("disabled", "at_most_once", "at_least_once"), and why they died.
    """

    messages: MessageCounters = attrs.Factory(MessageCounters)
    sizes: SizeCounters = attrs.Factory(SizeCounters)
    queues: defaultdict[str, MessageCounters] = attrs.Factory(lambda: defaultdict(MessageCounters))
    dead_letters: Counter[tuple[str, str, str]] = attrs.Factory(Counter)

    def add(self, other: Past) -> None:
        """Count what another has counted, too."""
        self.messages.add(other.messages)
        self.sizes.add(other.sizes)
        for type_, counters in other.queues.items():
            self.queues[type_].add(counters)
        self.dead_letters.update(other.dead_letters)
