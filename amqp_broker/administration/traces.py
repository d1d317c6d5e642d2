"""Begin and end traces."""

from __future__ import annotations

from amqp_broker.broker import Broker
from amqp_broker.links.traces import Trace


def start_trace(broker: Broker, trace: Trace) -> bool:
    """Trace, with the firehose on; of one name there is one trace in a vhost. Gives whether there was none.

    Raises:
        KeyError: there is no such vhost.
    """
    is_new = broker.traces.put(trace)
    link = broker.links.get(trace.key)
    if trace.key in broker.traces.resting and link is not None:
        link.restart()
    resume_trace(broker, trace)
    return is_new


def stop_trace(broker: Broker, trace: Trace) -> None:
    """Trace no more; with the last trace of a vhost, the firehose goes off, if it is on only for that."""
    broker.traces.remove(trace)
    _switch_firehose(broker, trace.vhost)


def rest_trace(broker: Broker, trace: Trace) -> None:
    """A trace can't be written any further: it stays in the list, and the firehose goes off as with its end."""
    if broker.traces.wanted.get(trace.key) == trace:
        broker.traces.resting.add(trace.key)
        _switch_firehose(broker, trace.vhost)


def resume_trace(broker: Broker, trace: Trace) -> None:
    """A trace is written again, for which the firehose has to be on. Raises KeyError: there is no such vhost."""
    broker.traces.resting.discard(trace.key)
    _switch_firehose(broker, trace.vhost)


def _switch_firehose(broker: Broker, vhost: str) -> None:
    switched_on = broker.traces.switched_on
    if broker.traces.are_written(vhost):
        if not broker.vhosts[vhost].is_tracing:
            broker.set_tracing(vhost, True)
            switched_on.add(vhost)
    elif vhost in switched_on:
        switched_on.discard(vhost)
        broker.set_tracing(vhost, False)
