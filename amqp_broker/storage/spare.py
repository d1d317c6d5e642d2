"""Memory beyond what queues hold in any case, lent to those that would else have to write transient messages.

One for all queues of a broker, so that together they take no more than there is.
"""

from __future__ import annotations


class Spare:
    """An account of octets.

    Attributes:
        limit_octets: how much may be lent; 0 until somebody knows how much memory there is. May change at any time:
            what has been lent beyond a lower limit stays where it is until it comes back.
        lent_octets: how much is.
    """

    def __init__(self, limit_octets: int = 0) -> None:
        self.limit_octets = limit_octets
        self.lent_octets = 0

    def borrow(self, octets: int) -> bool:
        """Take so much, all or nothing; gives whether there was so much left."""
        if self.lent_octets + octets > self.limit_octets:
            return False
        self.lent_octets += octets
        return True

    def give_back(self, octets: int) -> None:
        """Give back what was borrowed."""
        self.lent_octets -= octets
