"""Begin and end traces."""

from __future__ import annotations

from amqp_broker.broker import Broker
from amqp_broker.links.traces import Trace


def start_trace(broker: Broker, trace: Trace) -> bool:
    """Trace, with the firehose on; of one name there is one trace in a vhost. Gives whether there was none.

    Raises:
        KeyError: there is no such vhost.
    """
    if not broker.vhosts[trace.vhost].is_tracing:
        broker.set_tracing(trace.vhost, True)
        broker.traces.switched_on.add(trace.vhost)
    return broker.traces.put(trace)


def stop_trace(broker: Broker, trace: Trace) -> None:
    """Trace no more; with the last trace of a vhost, the firehose goes off, if it is on only for that."""
    broker.traces.remove(trace)
    if trace.vhost in broker.traces.switched_on and not broker.traces.of_vhost(trace.vhost):
        broker.traces.switched_on.discard(trace.vhost)
        broker.set_tracing(trace.vhost, False)
