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


def _add_routes(path: str, needs: Needs, *, is_operators: bool) -> None:
    """Route one of the two kinds; who may look at a vhost sees its policies listed, `needs` is for the rest."""

    @routes.get(path)
    def list_all(call: Call) -> Listing:
        """The policies of the vhosts that the caller may enter."""
        names = {vhost.name for vhost in call.vhosts}
        items = list_policies(call.broker, is_operators=is_operators)
        return Listing(({**item} for item in items if item["vhost"] in names), is_paged=True)

    @routes.get(f"{path}/{{vhost}}")
    def list_of_vhost(call: Call) -> Listing:
        """The policies of a vhost."""
        return Listing(_items(call, is_operators), is_paged=True)

    @routes.get(f"{path}/{{vhost}}/{{name}}", needs)
    def show(call: Call) -> Record:
        """One policy."""
        for item in _items(call, is_operators):
            if item["name"] == call.path["name"]:
                return item
        raise not_found()

    @routes.put(f"{path}/{{vhost}}/{{name}}", needs)
    def put(call: Call) -> Reply:
        """Set a policy, which applies at once."""
        vhost = call.vhost.name
        call.require("pattern", "definition")
        priority = call.fields.get("priority") or 0
        is_new = set_policy(
            call.broker,
            vhost,
            call.path["name"],
            call.fields["pattern"],
            call.fields["definition"],
            priority=whole_number("priority", priority) if isinstance(priority, str) else priority,
            apply_to=call.text("apply-to", "all"),
            is_operators=is_operators,
            by=call.user.name,
        )
        return created_or_changed(is_new)

    @routes.delete(f"{path}/{{vhost}}/{{name}}", needs)
    def remove(call: Call) -> Reply:
        """Remove a policy."""
        clear_policy(call.broker, call.vhost.name, call.path["name"], is_operators=is_operators, by=call.user.name)
        return NO_CONTENT


def _items(call: Call, is_operators: bool) -> list[Record]:
    return [{**item} for item in list_policies(call.broker, call.vhost.name, is_operators=is_operators)]


_add_routes("policies", Needs.POLICYMAKER, is_operators=False)
_add_routes("operator-policies", Needs.ADMINISTRATOR, is_operators=True)
