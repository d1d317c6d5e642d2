"""What RabbitMQ has in plugins that are not here, or not yet: lists without anything in them."""

from __future__ import annotations

from amqp_broker.inspection.values import Record
from amqp_broker.management.call import Call
from amqp_broker.management.routes import Routes

routes = Routes()


@routes.get("traces")
@routes.get("trace-files")
@routes.get("traces/node/{node}")
@routes.get("trace-files/node/{node}")
def list_traces(_call: Call) -> list[Record]:
    """Traces into files, of which there are none; the firehose is switched with `tracing` of a vhost."""
    return []


@routes.get("traces/{vhost}")
def list_traces_of_vhost(call: Call) -> list[Record]:
    """The traces of a vhost, of which there are none."""
    assert call.vhost
    return []
