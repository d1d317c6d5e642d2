"""Shovels and links of federation: how they fare, and begin again."""

from __future__ import annotations

from amqp_broker.administration.parameters import clear_parameter
from amqp_broker.administration.shovels import COMPONENT
from amqp_broker.inspection.links import federation_records, shovel_record, shovel_records
from amqp_broker.inspection.values import Record
from amqp_broker.links.board import SHOVEL, Link, LinkState
from amqp_broker.management.call import Call
from amqp_broker.management.errors import not_found
from amqp_broker.management.replies import NO_CONTENT, Reply
from amqp_broker.management.routes import Needs, Routes

routes = Routes()


@routes.get("shovels", Needs.MONITORING)
def list_shovels(call: Call) -> list[Record]:
    """The shovels of the vhosts that the caller may enter."""
    return list(shovel_records(call.broker, {vhost.name for vhost in call.vhosts}))


@routes.get("shovels/{vhost}", Needs.MONITORING)
def list_shovels_of_vhost(call: Call) -> list[Record]:
    """The shovels of a vhost."""
    return list(shovel_records(call.broker, {call.vhost.name}))


@routes.get("shovels/vhost/{vhost}/{name}", Needs.MONITORING)
def show_shovel(call: Call) -> Record:
    """One shovel."""
    return shovel_record(_shovel(call, call.vhost.name), call.broker.config.node_name)


@routes.delete("shovels/vhost/{vhost}/{name}", Needs.POLICYMAKER)
def remove_shovel(call: Call) -> Reply:
    """Remove a shovel with its parameter."""
    vhost = call.vhost.name
    _shovel(call, vhost)
    clear_parameter(call.broker, vhost, COMPONENT, call.path["name"], by=call.user.name)
    return NO_CONTENT


@routes.delete("shovels/vhost/{vhost}/{name}/restart", Needs.POLICYMAKER)
def restart_shovel(call: Call) -> Reply:
    """Let a shovel begin anew."""
    _shovel(call, call.vhost.name).restart()
    return NO_CONTENT


@routes.get("federation-links", Needs.MONITORING)
def list_federation_links(call: Call) -> list[Record]:
    """The links of federation in the vhosts that the caller may enter."""
    return list(federation_records(call.broker, {vhost.name for vhost in call.vhosts}))


@routes.get("federation-links/{vhost}", Needs.MONITORING)
def list_federation_links_of_vhost(call: Call) -> list[Record]:
    """The links of federation in a vhost."""
    return list(federation_records(call.broker, {call.vhost.name}))


@routes.get("federation-links/state/down/{vhost}", Needs.MONITORING)
def list_links_down(call: Call) -> list[Record]:
    """The links of federation in a vhost that don't run."""
    found = federation_records(call.broker, {call.vhost.name})
    return [record for record in found if record["status"] != str(LinkState.RUNNING)]


def _shovel(call: Call, vhost: str) -> Link:
    """Find the shovel of a path. Raises ApiError 404."""
    link = call.broker.links.get((SHOVEL, vhost, call.path["name"]))
    if link is None:
        raise not_found()
    return link
