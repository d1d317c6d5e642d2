"""A broker inside another program: in a thread of its own or in the program's trio loop; state, clock, faults."""

from amqp_broker.embedding.broker import EmbeddedBroker, QueueHandle
from amqp_broker.embedding.errors import BrokerCrashedError, BrokerStoppedError
from amqp_broker.embedding.running import BrokerThread, open, run_in_thread  # noqa: A004 - amqp_broker.open

__all__ = [
    "BrokerCrashedError",
    "BrokerStoppedError",
    "BrokerThread",
    "EmbeddedBroker",
    "QueueHandle",
    "open",
    "run_in_thread",
]
