"""A connection whose vhost another node of the cluster has: it is held until that node is known, then given to it.

The node where the client has come has done the handshake up to `connection.open` by itself. The one that has the vhost
is told all of it as the client said it, logs the client in once more, and what it answers before `open-ok` is dropped.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from amqp_broker.errors import AMQPError
from amqp_broker.placement import Elsewhere, Parcel, Placement
from amqp_broker.session.state import State
from amqp_codec import (
    PROTOCOL_HEADER,
    ConnectionOpen,
    ConnectionStartOk,
    ConnectionTuneOk,
    ReplyCode,
    encode_method_frame,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from amqp_broker.session.connection import Connection

RETRY_S: Final = 0.2
"""How soon to ask again who has the vhost, when whoever was named does not take the connection."""


class HandingOver:
    """Finds the node that has a connection's vhost.

    Args:
        connection: which has got as far as `connection.open`.
        placement: who knows where vhosts are.
        said: what the client has said so far.
        is_here: called when this node turns out to have the vhost; raises what refuses the client.
    """

    def __init__(
        self,
        connection: Connection,
        placement: Placement,
        said: tuple[ConnectionStartOk, ConnectionTuneOk, ConnectionOpen],
        is_here: Callable[[], None],
    ) -> None:
        self._connection = connection
        self._placement = placement
        self._vhost = said[2].virtual_host
        self._is_here = is_here
        octets = PROTOCOL_HEADER + b"".join(encode_method_frame(0, method) for method in said)
        self._parcel = Parcel(self._vhost, connection.peer, octets)

    def begin(self) -> None:
        """Hold the client until it is known where it belongs."""
        connection = self._connection
        connection.handshake.is_waiting = True
        # Some clients take a heartbeat for the answer to connection.open.
        connection.heartbeat.stop()
        connection.ending.drop_after(connection.config.cluster_hold_s, self._give_up)
        self._locate()

    def stop(self) -> None:
        """The client is gone."""
        self._placement.forget(self._vhost, self._located)

    def not_taken(self) -> None:
        """The node that was said to have the vhost can't be reached, or has it no more."""
        if self._connection.state is State.OPEN:
            self._connection.broker.connection_timers.after(RETRY_S, self._locate)

    def _locate(self) -> None:
        if self._connection.state is State.OPEN:
            self._placement.locate(self._vhost, self._located)

    def _located(self, elsewhere: Elsewhere | None) -> None:
        connection = self._connection
        if connection.state is not State.OPEN:
            return
        if elsewhere is not None:
            connection.edge.hand_over(self._parcel, elsewhere)
            return
        connection.handshake.is_waiting = False
        connection.beat(connection.heartbeat_s)
        try:
            self._is_here()
        except AMQPError as error:
            self._refuse(error)
        if not connection.handshake.is_waiting:
            connection.receive(b"")
        connection.edge.reading_changed()

    def _give_up(self) -> None:
        connection = self._connection
        connection.handshake.is_waiting = False
        self.stop()
        user, vhost = connection.user, self._vhost
        text = f"access to vhost '{vhost}' refused for user '{user}': vhost '{vhost}' is down"
        self._refuse(AMQPError(ReplyCode.INTERNAL_ERROR, text))
        connection.edge.reading_changed()

    def _refuse(self, error: AMQPError) -> None:
        self._connection.ending.fail(error, ConnectionOpen.class_id, ConnectionOpen.method_id)
