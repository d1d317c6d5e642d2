"""Parameters of vhosts and of the whole broker, and the limits of vhosts: list, show, put, delete."""

from __future__ import annotations

from amqp_broker.administration.parameters import (
    clear_global_parameter,
    clear_parameter,
    list_global_parameters,
    list_parameters,
    set_global_parameter,
    set_parameter,
)
from amqp_broker.administration.vhosts import (
    clear_vhost_limits,
    find_vhost,
    set_vhost_limits,
    vhost_limits,
)
from amqp_broker.inspection.values import Record
from amqp_broker.management.call import Call
from amqp_broker.management.errors import keys_missing, not_found
from amqp_broker.management.listing import Listing
from amqp_broker.management.replies import NO_CONTENT, Reply, created_or_changed
from amqp_broker.management.routes import Needs, Routes
from amqp_broker.registry import Json

routes = Routes()


@routes.get("parameters", Needs.POLICYMAKER)
def list_all(call: Call) -> Listing:
    """The parameters of the vhosts that the caller may enter."""
    return _listing(call, None)


@routes.get("parameters/{component}", Needs.POLICYMAKER)
def list_of_component(call: Call) -> Listing:
    """The parameters of a component."""
    return _listing(call, call.path["component"])


@routes.get("parameters/{component}/{vhost}", Needs.POLICYMAKER)
def list_of_vhost(call: Call) -> Listing:
    """The parameters of a component in a vhost."""
    return Listing(_items(call), is_paged=True)


@routes.get("parameters/{component}/{vhost}/{name}", Needs.POLICYMAKER)
def show(call: Call) -> Record:
    """One parameter."""
    for item in _items(call):
        if item["name"] == call.path["name"]:
            return item
    raise not_found()


@routes.put("parameters/{component}/{vhost}/{name}", Needs.POLICYMAKER)
def put(call: Call) -> Reply:
    """Set a parameter."""
    vhost, value = call.vhost.name, _value(call)
    is_new = set_parameter(call.broker, vhost, call.path["component"], call.path["name"], value, by=call.user.name)
    return created_or_changed(is_new)


@routes.delete("parameters/{component}/{vhost}/{name}", Needs.POLICYMAKER)
def remove(call: Call) -> Reply:
    """Remove a parameter."""
    clear_parameter(call.broker, call.vhost.name, call.path["component"], call.path["name"], by=call.user.name)
    return NO_CONTENT


@routes.get("global-parameters", Needs.POLICYMAKER)
def list_global(call: Call) -> Listing:
    """The parameters of the whole broker."""
    return Listing((dict(item) for item in list_global_parameters(call.broker)), is_paged=True)


@routes.get("global-parameters/{name}", Needs.POLICYMAKER)
def show_global(call: Call) -> Record:
    """One parameter of the whole broker."""
    for item in list_global_parameters(call.broker):
        if item["name"] == call.path["name"]:
            return {**item}
    raise not_found()


@routes.put("global-parameters/{name}", Needs.POLICYMAKER)
def put_global(call: Call) -> Reply:
    """Set a parameter of the whole broker."""
    return created_or_changed(set_global_parameter(call.broker, call.path["name"], _value(call), by=call.user.name))


@routes.delete("global-parameters/{name}", Needs.POLICYMAKER)
def remove_global(call: Call) -> Reply:
    """Remove a parameter of the whole broker."""
    clear_global_parameter(call.broker, call.path["name"], by=call.user.name)
    return NO_CONTENT


@routes.get("vhost-limits")
def list_limits(call: Call) -> Listing:
    """The limits of all vhosts that have some."""
    return Listing(record for vhost in call.visible_vhosts for record in _limits_of(call, vhost.name))


@routes.get("vhost-limits/{vhost}")
def show_limits(call: Call) -> Listing:
    """The limits of a vhost."""
    return Listing(_limits_of(call, call.visible_vhost.name))


@routes.put("vhost-limits/{vhost}/{limit}", Needs.ADMINISTRATOR)
def set_limit(call: Call) -> Reply:
    """Set a limit of a vhost; a negative one is none."""
    name = find_vhost(call.broker, call.path["vhost"]).name
    limits: dict[str, Json] = {**vhost_limits(call.broker, name), call.path["limit"]: call.number("value")}
    set_vhost_limits(call.broker, name, limits, by=call.user.name)
    return NO_CONTENT


@routes.delete("vhost-limits/{vhost}/{limit}", Needs.ADMINISTRATOR)
def clear_limit(call: Call) -> Reply:
    """Remove a limit of a vhost."""
    clear_vhost_limits(call.broker, call.path["vhost"], call.path["limit"], by=call.user.name)
    return NO_CONTENT


def _limits_of(call: Call, name: str) -> list[Record]:
    limits = vhost_limits(call.broker, name)
    return [{"vhost": name, "value": limits}] if limits else []


def _listing(call: Call, component: str | None) -> Listing:
    names = {vhost.name for vhost in call.vhosts}
    items = list_parameters(call.broker, component=component)
    return Listing(({**item} for item in items if item["vhost"] in names), is_paged=True)


def _items(call: Call) -> list[Record]:
    return [{**item} for item in list_parameters(call.broker, call.vhost.name, call.path["component"])]


def _value(call: Call) -> Json:
    """What a parameter is to be set to, which may be null. Raises ApiError 400."""
    if "value" not in call.fields:
        raise keys_missing(["value"])
    value: Json = call.fields["value"]
    return value
