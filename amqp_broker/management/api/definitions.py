"""Definitions: export and import, of everything or of a vhost (reference, chapter 2)."""

from __future__ import annotations

import re
from collections.abc import Generator

from amqp_broker.administration.exporting import export_definitions
from amqp_broker.administration.importing import importing_definitions
from amqp_broker.administration.left import Left
from amqp_broker.administration.vhosts import find_vhost
from amqp_broker.inspection.values import Record
from amqp_broker.management.call import Call
from amqp_broker.management.replies import NO_CONTENT, Reply
from amqp_broker.management.routes import Needs, Routes

routes = Routes()


@routes.get("definitions", Needs.ADMINISTRATOR)
@routes.get("all-configuration", Needs.ADMINISTRATOR)
def export_all(call: Call) -> Reply:
    """All definitions; `download` names the file that a browser is to make of them."""
    return _file(call, {**export_definitions(call.broker)})


@routes.get("definitions/{vhost}", Needs.ADMINISTRATOR)
def export_vhost(call: Call) -> Reply:
    """The definitions of a vhost."""
    return _file(call, {**export_definitions(call.broker, call.path["vhost"])})


@routes.post("definitions", Needs.ADMINISTRATOR)
@routes.post("all-configuration", Needs.ADMINISTRATOR)
def import_all(call: Call) -> Generator[Left | None, None, Reply | Left]:
    """Add definitions to those there are: all of them, or none when something is wrong."""
    return (yield from importing_definitions(call.broker, call.fields, by=call.user.name)) or NO_CONTENT


@routes.post("definitions/{vhost}", Needs.ADMINISTRATOR)
def import_vhost(call: Call) -> Generator[Left | None, None, Reply | Left]:
    """Add definitions to those of a vhost."""
    vhost = find_vhost(call.broker, call.path["vhost"]).name
    return (yield from importing_definitions(call.broker, call.fields, vhost, by=call.user.name)) or NO_CONTENT


def _file(call: Call, definitions: Record) -> Reply:
    name = call.query.get("download")
    if name is None:
        return Reply(200, definitions)
    harmless = re.sub(r"[^\w.@-]", "_", name, flags=re.ASCII)
    return Reply(200, definitions, {"content-disposition": f'attachment; filename="{harmless}"'})
