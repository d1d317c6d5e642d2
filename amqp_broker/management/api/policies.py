"""Policies and operator policies: list, show, put, delete."""

from __future__ import annotations

from amqp_broker.administration.parameters import clear_policy, list_policies, set_policy
from amqp_broker.inspection.values import Record
from amqp_broker.management.call import Call, whole_number
from amqp_broker.management.errors import not_found
from amqp_broker.management.listing import Listing
from amqp_broker.management.replies import NO_CONTENT, Reply, created_or_changed
from amqp_broker.management.routes import Needs, Routes

routes = Routes()


@routes.get("policies", Needs.POLICYMAKER)
def list_all(call: Call) -> Listing:
    """The policies of the vhosts that the caller may enter."""
    return _listing(call, is_operators=False)


@routes.get("policies/{vhost}", Needs.POLICYMAKER)
def list_of_vhost(call: Call) -> Listing:
    """The policies of a vhost."""
    return Listing(_items(call, is_operators=False), is_paged=True)


@routes.get("policies/{vhost}/{name}", Needs.POLICYMAKER)
def show(call: Call) -> Record:
    """One policy."""
    return _one(call, is_operators=False)


@routes.put("policies/{vhost}/{name}", Needs.POLICYMAKER)
def put(call: Call) -> Reply:
    """Set a policy, which applies at once."""
    return _put(call, is_operators=False)


@routes.delete("policies/{vhost}/{name}", Needs.POLICYMAKER)
def remove(call: Call) -> Reply:
    """Remove a policy."""
    clear_policy(call.broker, call.ruled_vhost, call.path["name"], by=call.user.name)
    return NO_CONTENT


@routes.get("operator-policies", Needs.POLICYMAKER)
def list_all_operators(call: Call) -> Listing:
    """The operator policies of the vhosts that the caller may enter."""
    return _listing(call, is_operators=True)


@routes.get("operator-policies/{vhost}", Needs.POLICYMAKER)
def list_operators_of_vhost(call: Call) -> Listing:
    """The operator policies of a vhost."""
    return Listing(_items(call, is_operators=True), is_paged=True)


@routes.get("operator-policies/{vhost}/{name}", Needs.POLICYMAKER)
def show_operators(call: Call) -> Record:
    """One operator policy."""
    return _one(call, is_operators=True)


@routes.put("operator-policies/{vhost}/{name}", Needs.ADMINISTRATOR)
def put_operators(call: Call) -> Reply:
    """Set an operator policy, which applies at once; who makes policies is not to undo it."""
    return _put(call, is_operators=True)


@routes.delete("operator-policies/{vhost}/{name}", Needs.ADMINISTRATOR)
def remove_operators(call: Call) -> Reply:
    """Remove an operator policy."""
    clear_policy(call.broker, call.ruled_vhost, call.path["name"], is_operators=True, by=call.user.name)
    return NO_CONTENT


def _put(call: Call, *, is_operators: bool) -> Reply:
    vhost = call.ruled_vhost
    call.require("pattern", "definition")
    priority = 0 if call.fields.get("priority") is None else call.fields["priority"]
    is_new = set_policy(
        call.broker,
        vhost,
        call.path["name"],
        call.fields["pattern"],
        call.fields["definition"],
        priority=whole_number("priority", priority)
        if isinstance(priority, str)
        else 0
        if priority is None
        else priority,
        apply_to=call.text("apply-to", "all"),
        is_operators=is_operators,
        by=call.user.name,
    )
    return created_or_changed(is_new)


def _listing(call: Call, *, is_operators: bool) -> Listing:
    names = {vhost.name for vhost in call.vhosts}
    items = list_policies(call.broker, is_operators=is_operators)
    return Listing(({**item} for item in items if item["vhost"] in names), is_paged=True)


def _items(call: Call, *, is_operators: bool) -> list[Record]:
    return [{**item} for item in list_policies(call.broker, call.vhost.name, is_operators=is_operators)]


def _one(call: Call, *, is_operators: bool) -> Record:
    for item in _items(call, is_operators=is_operators):
        if item["name"] == call.path["name"]:
            return item
    raise not_found()
