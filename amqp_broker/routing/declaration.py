"""What is checked when an exchange is declared (rules 3.8 and 3.11)."""

from __future__ import annotations

from amqp_broker.errors import entity, precondition_failed
from amqp_broker.routing.equivalence import check_equivalent_argument, check_equivalent_flag
from amqp_broker.routing.exchange import ALTERNATE_EXCHANGE, Exchange
from amqp_codec import ByteArray, Table, field_type_name


def check_alternate(arguments: Table, name: str, vhost: str) -> None:
    """An alternate exchange is named by a longstr. Raises AMQPError 406."""
    alternate = arguments.get(ALTERNATE_EXCHANGE)
    if alternate is not None and (isinstance(alternate, ByteArray) or not isinstance(alternate, bytes)):
        raise precondition_failed(
            f"invalid type '{field_type_name(alternate)}' for arg '{ALTERNATE_EXCHANGE}' "
            f"in {entity('exchange', name, vhost)}"
        )


def check_same_exchange(
    exchange: Exchange,
    type_: str,
    durable: bool,
    auto_delete: bool,
    internal: bool,
    arguments: Table,
    vhost: str,
) -> None:
    """Compare a declare with the exchange that is there. Raises AMQPError 406."""
    where = entity("exchange", exchange.name, vhost)
    check_equivalent_flag("type", exchange.type, type_, where)
    check_equivalent_flag("durable", exchange.durable, durable, where)
    check_equivalent_flag("auto_delete", exchange.auto_delete, auto_delete, where)
    check_equivalent_flag("internal", exchange.internal, internal, where)
    check_equivalent_argument(
        ALTERNATE_EXCHANGE,
        exchange.arguments.get(ALTERNATE_EXCHANGE),
        arguments.get(ALTERNATE_EXCHANGE),
        where,
    )
