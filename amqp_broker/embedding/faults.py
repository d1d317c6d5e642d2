"""What goes wrong because a test wants it to: confirms, logins, alarms."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from functools import partial

from amqp_broker.auth.backends.chain import Chain
from amqp_broker.resources import Resources
from amqp_broker.server import Server
from amqp_codec import BasicAck, BasicNack, Method

Send = Callable[[Method], None]


class ConfirmMode(Enum):
    """What becomes of publisher confirms."""

    NORMAL = auto()
    REFUSED = auto()
    """Each is a nack; the message is where it belongs nevertheless, as it may be when a real broker says nack."""
    HELD = auto()
    """None leaves until the mode changes."""
    DELAYED = auto()
    """Each leaves later, by the broker's clock."""


class Faults:
    """Belongs to the broker's loop."""

    def __init__(self, server: Server) -> None:
        self._broker = server.broker
        self._resources: Resources = server.resources
        self._mode = ConfirmMode.NORMAL
        self._delay_s = 0.0
        self._held: list[Callable[[], None]] = []
        self._auth = server.broker.auth
        server.broker.answer_confirms_with = self._gate

    def _gate(self, send: Send) -> Send:
        return partial(self._answer, send)

    def _answer(self, send: Send, answer: Method) -> None:
        if self._mode is ConfirmMode.NORMAL and not self._held:
            send(answer)
            return
        if self._mode is ConfirmMode.REFUSED and isinstance(answer, BasicAck):
            answer = BasicNack(delivery_tag=answer.delivery_tag, multiple=answer.multiple, requeue=False)
        if self._mode is ConfirmMode.REFUSED:
            send(answer)
            return
        self._held.append(partial(send, answer))
        if self._mode is ConfirmMode.DELAYED:
            self._broker.timers.after(self._delay_s, self._release_one)

    def _release_one(self) -> None:
        if self._held:
            self._held.pop(0)()

    def set_confirms(self, mode: ConfirmMode, delay_s: float = 0.0) -> None:
        """From now on confirms are dealt with like this; those that were held leave as they were meant."""
        held, self._held = self._held, []
        for leave in held:
            leave()
        self._mode, self._delay_s = mode, delay_s

    def refuse_logins(self, refused: bool) -> None:
        """Let nobody in, whatever the password, or those again who may."""
        self._broker.auth = Chain(()) if refused else self._auth

    def set_alarm(self, resource: str, is_on: bool) -> None:
        """Raise an alarm, or leave it to what is measured."""
        if is_on:
            self._resources.pretended.add(resource)
        else:
            self._resources.pretended.discard(resource)
        self._resources.look()

    def clear(self) -> None:
        """All is well again."""
        self.set_confirms(ConfirmMode.NORMAL)
        self.refuse_logins(False)
        for resource in list(self._resources.pretended):
            self.set_alarm(resource, False)
