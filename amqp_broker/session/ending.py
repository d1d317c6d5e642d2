"""How a connection ends: by an error, by the wish of either side, and when at the latest (rules 1.36 to 1.44)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from amqp_broker.errors import AMQPError, cut_reply_text
from amqp_broker.session.state import State
from amqp_broker.timers import Timer
from amqp_codec import CodecError, ConnectionClose, ConnectionCloseOk

TYPE_CHECKING = False
if TYPE_CHECKING:
    from amqp_broker.session.connection import Connection

LOST_SYNC_LINGER_S: Final = 3.0
"""How long a client has to read the close after a frame error, before TCP is dropped (rule 1.44)."""


class Ending:
    """Ends a connection.

    Attributes:
        is_leaving: the client has closed, and what it sent before that is still held.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._deadline: Timer | None = None
        self.is_leaving = False

    def drop_after(self, delay_s: float, drop: Callable[[], None]) -> None:
        """Have the socket dropped, whatever the client does; takes the place of an earlier deadline."""
        self.call_off()
        self._deadline = self._connection.broker.connection_timers.after(delay_s, drop)

    def call_off(self) -> None:
        """Forget the deadline."""
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def malformed(self, error: CodecError) -> None:
        """The stream is out of step: nothing more can be read from it (rules 1.43 to 1.51)."""
        if self._connection.state is State.CLOSING:
            self.end()
        elif self.fail(AMQPError(error.reply_code, error.text), error.class_id, error.method_id):
            self.end_after(LOST_SYNC_LINGER_S)

    def fail(self, error: AMQPError, class_id: int, method_id: int) -> bool:
        """Close because of an error; before tuning is over without a word (rules 1.12, 1.23 and 1.53).

        Returns:
            Whether the client was told.
        """
        connection = self._connection
        connection.warn(error.reply_text)
        is_tuned = connection.state in (State.OPEN, State.RUNNING)
        if is_tuned:
            self.close(error, class_id, method_id)
        else:
            self.end_later()
        return is_tuned

    def close(self, error: AMQPError, class_id: int, method_id: int) -> None:
        """Send `connection.close`, and wait for `close-ok` (rule 1.40)."""
        connection = self._connection
        connection.settle_confirms()
        connection.release()
        connection.send(
            0,
            ConnectionClose(
                reply_code=error.code,
                reply_text=cut_reply_text(error.reply_text),
                failing_class_id=class_id,
                failing_method_id=method_id,
            ),
        )
        connection.state = State.CLOSING
        self.end_after(self._close_timeout_s(), keep_state=True)

    def on_close(self) -> None:
        """The client closes: when it has `close-ok`, all that was its own is gone (rule 1.38).

        What it sent before comes first, so this waits while some of that is held. Where its close crosses the
        broker's, the broker goes on waiting for its own `close-ok` (rule 1.40).
        """
        connection = self._connection
        self.is_leaving = any(channel.held is not None for channel in connection.channels.values())
        if self.is_leaving:
            return
        if connection.state is not State.CLOSING:
            connection.settle_confirms()
            connection.release()
            self.end_after(self._close_timeout_s())
        connection.send(0, ConnectionCloseOk())

    def end(self) -> None:
        """Write what waits and close the socket."""
        self.end_after(self._close_timeout_s())
        self._connection.edge.finish()

    def end_later(self) -> None:
        """Close without a word, but slowly, so that guessing takes its time (rule 1.12)."""
        self.end_after(self._connection.config.login_failure_delay_s)

    def end_after(self, delay_s: float, *, keep_state: bool = False) -> None:
        connection = self._connection
        if not keep_state:
            connection.state = State.ENDED
        self.drop_after(delay_s, connection.edge.abort)

    def _close_timeout_s(self) -> float:
        """How long a peer may take to finish (rule 1.39)."""
        connection = self._connection
        heartbeat_s = connection.heartbeat.interval_s
        return min(heartbeat_s or connection.config.close_timeout_s, connection.config.close_timeout_s)
