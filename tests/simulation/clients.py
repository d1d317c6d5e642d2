"""The clients of one life: who is connected, and on which channels they are."""

from __future__ import annotations

from random import Random

from amqp_codec import (
    ChannelClose,
    ChannelCloseOk,
    ConfirmSelect,
    ConfirmSelectOk,
    ConnectionClose,
    ConnectionCloseOk,
    TxSelect,
    TxSelectOk,
)
from tests.simulation.accounts import Accounts
from tests.simulation.lanes import Lane, take_all
from tests.support.client import Client

MOST_CLIENTS = 5
MOST_CHANNELS = 3


class Clients:
    """Connections and channels come and go.

    Attributes:
        random: decides who does something.
        accounts: what they are told.
    """

    def __init__(self, random: Random, accounts: Accounts) -> None:
        self.random = random
        self.accounts = accounts
        self._lanes: dict[Client, dict[int, Lane]] = {}

    @property
    def lanes(self) -> list[Lane]:
        """All channels."""
        return [lane for lanes in self._lanes.values() for lane in lanes.values()]

    def begin(self) -> None:
        """Another life: nobody is there."""
        self._lanes = {}

    def take_all(self) -> None:
        """Take in all that has come to them."""
        for client, lanes in list(self._lanes.items()):
            take_all(client, lanes, self.accounts)
            assert not any(lane.asked for lane in lanes.values()), "a mandatory message did not come back"

    def lane(self, *modes: str, is_idle: bool = True) -> Lane | None:
        """Some channel that can do something; mostly one that is there."""
        lanes = [
            lane
            for lane in self.lanes
            if (not modes or lane.mode in modes) and (lane.is_idle if is_idle else lane.may_publish)
        ]
        if lanes and self.random.random() < 0.95:
            return self.random.choice(lanes)
        if len(self._lanes) >= MOST_CLIENTS:
            return self.random.choice(lanes) if lanes else None
        return self._new_lane(self.random.choice(modes or ("confirm", "tx", "plain")))

    def leave(self) -> None:
        """Close a channel or a connection, or lose it."""
        random = self.random
        if not self._lanes:
            return
        client = random.choice(list(self._lanes))
        lanes = self._lanes[client]
        idle = [number for number, lane in lanes.items() if lane.is_idle]
        if random.random() < 0.5 and idle:
            channel_id = random.choice(idle)
            lanes[channel_id].ask(ChannelClose(reply_code=200), ChannelCloseOk)
            self.take_all()
            del lanes[channel_id]
            return
        if random.random() < 0.5 and len(idle) == len(lanes):
            client.send(0, ConnectionClose(reply_code=200))
            client.pump()
            assert isinstance(client.inbox.pop().method, ConnectionCloseOk)
            take_all(client, lanes, self.accounts)
        client.drop()
        del self._lanes[client]

    def _new_lane(self, mode: str) -> Lane:
        client = self.random.choice([*self._lanes, None])
        if client is None or not client.connection.may_read or len(self._lanes[client]) >= MOST_CHANNELS:
            client = self.accounts.machine.client()
            self._lanes[client] = {}
        lanes = self._lanes[client]
        self.take_all()
        channel_id = next(number for number in range(1, 9) if number not in lanes)
        lane = lanes[channel_id] = Lane(client.channel(channel_id), mode)
        if mode == "confirm":
            lane.ask(ConfirmSelect(), ConfirmSelectOk)
        elif mode == "tx":
            lane.ask(TxSelect(), TxSelectOk)
        self.take_all()
        return lane
