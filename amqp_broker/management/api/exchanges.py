"""Exchanges: list, show, declare, delete."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from amqp_broker.auth.permissions import Access
from amqp_broker.inspection.exchanges import exchange_record
from amqp_broker.inspection.values import Record
from amqp_broker.management.call import Call, short
from amqp_broker.management.counts import exchange_counts
from amqp_broker.management.errors import not_found
from amqp_broker.management.listing import Listing
from amqp_broker.management.replies import NO_CONTENT, Reply, created_or_changed
from amqp_broker.management.routes import Routes
from amqp_broker.routing.exchange import DEFAULT_EXCHANGE, Exchange
from amqp_broker.session.binding import clean_name
from amqp_broker.vhost import Vhost

routes = Routes()

DEFAULT_NAME = "amq.default"
"""What paths call the exchange without a name."""


@routes.get("exchanges")
def list_exchanges(call: Call) -> Listing:
    """All exchanges."""
    return Listing(_records(call, call.vhosts_here), is_paged=True)


@routes.get("exchanges/{vhost}")
def list_exchanges_of_vhost(call: Call) -> Listing:
    """The exchanges of a vhost."""
    return Listing(_records(call, [call.vhost]), is_paged=True)


@routes.get("exchanges/{vhost}/{name}")
def show_exchange(call: Call) -> Record:
    """One exchange."""
    record = _record(call, exchange_of(call), call.vhost)
    record["incoming"] = []
    record["outgoing"] = []
    return record


@routes.put("exchanges/{vhost}/{name}")
def declare_exchange(call: Call) -> Reply:
    """Declare an exchange, of type direct if nothing else is said."""
    vhost, name = call.own_vhost, clean_name(exchange_name(short("exchange name", call.path["name"])))
    is_new = name not in vhost.exchanges
    vhost.declare_exchange(
        name,
        call.text("type", "direct"),
        durable=call.flag("durable"),
        auto_delete=call.flag("auto_delete"),
        internal=call.flag("internal"),
        arguments=call.table("arguments"),
        authorize=call.rights_in(vhost).demand,
        check_limit=call.broker.check_exchange_limit,
        user=call.user.name,
    )
    return created_or_changed(is_new)


@routes.delete("exchanges/{vhost}/{name}")
def delete_exchange(call: Call) -> Reply:
    """Delete an exchange; `if-unused` is a condition."""
    vhost, name = call.own_vhost, exchange_of(call).name
    vhost.refuse_default_exchange(name)
    call.rights_in(vhost).demand(Access.CONFIGURE, "exchange", name)
    vhost.delete_exchange(name, if_unused=call.asks_for("if-unused"), user=call.user.name)
    return NO_CONTENT


def exchange_of(call: Call, segment: str = "name") -> Exchange:
    """The exchange that the path names. Raises ApiError 404 or 401."""
    exchange = call.vhost.exchanges.get(exchange_name(call.path[segment]))
    if exchange is None:
        raise not_found()
    return exchange


def exchange_name(segment: str) -> str:
    """The name of the exchange that a segment of a path stands for."""
    return DEFAULT_EXCHANGE if segment == DEFAULT_NAME else segment


def _records(call: Call, vhosts: Iterable[Vhost]) -> Iterator[Record]:
    return (_record(call, exchange, vhost) for vhost in vhosts for _, exchange in sorted(vhost.exchanges.items()))


def _record(call: Call, exchange: Exchange, vhost: Vhost) -> Record:
    record = exchange_record(exchange, vhost)
    record["message_stats"] = call.statistics.with_rates(exchange, exchange_counts(exchange.counters))
    return record
