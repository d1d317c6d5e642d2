"""What RabbitMQ 4.3 has given up, and refuses where the profile is strict (rules 4.10, 4.14 and 5.34)."""

from __future__ import annotations

from amqp_broker.errors import AMQPError
from amqp_broker.queues.arguments import invalid_argument
from amqp_codec import ReplyCode, Table


def refuse_deprecated_queue(name: str, vhost: str, arguments: Table, *, is_transient: bool, is_exclusive: bool) -> None:
    """Look at a queue that is to be made. Raises AMQPError: 541 for what is not permitted any more, 406 else."""
    if is_transient and not is_exclusive:
        raise _not_permitted("transient_nonexcl_queues")
    if "x-queue-master-locator" in arguments:
        raise _not_permitted("queue_master_locator")
    if arguments.get("x-queue-version") == 1:
        raise invalid_argument("x-queue-version", name, vhost, "\"unsupported queue version '1'\"")


def _not_permitted(feature: str) -> AMQPError:
    return AMQPError(
        ReplyCode.INTERNAL_ERROR,
        f"Feature `{feature}` is deprecated.\nBy default, this feature is not permitted anymore.",
    )
