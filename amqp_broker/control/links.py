"""Shovels and federation, as commands."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from amqp_broker.administration.parameters import clear_parameter
from amqp_broker.administration.shovels import COMPONENT
from amqp_broker.control.errors import EXIT_DATA, ControlError
from amqp_broker.control.request import Request
from amqp_broker.inspection.links import federation_records, link_id, shovel_records
from amqp_broker.inspection.node import Node
from amqp_broker.links.board import FEDERATION, SHOVEL, LinkState

Row = dict[str, Any]


def shovel_status(node: Node, _request: Request) -> Iterator[Row]:
    yield from (dict(record) for record in shovel_records(node.broker, set(node.broker.vhosts)))


def restart_shovel(node: Node, request: Request) -> Iterable[str]:
    name = request.text(0)
    link = node.broker.links.get((SHOVEL, request.vhost, name))
    if link is None:
        raise ControlError(f"Shovel with the given name was not found in vhost '{request.vhost}'", EXIT_DATA)
    link.restart()
    return [f"Shovel {name} on node {node.broker.config.node_name} will be restarted"]


def delete_shovel(node: Node, request: Request) -> Iterable[str]:
    name = request.text(0)
    if (request.vhost, COMPONENT, name) not in node.broker.registry.parameters:
        raise ControlError(f"Shovel with the given name was not found in vhost '{request.vhost}'", EXIT_DATA)
    clear_parameter(node.broker, request.vhost, COMPONENT, name)
    return []


def federation_status(node: Node, request: Request) -> Iterator[Row]:
    only_down = "only-down" in request.options
    for link, record in zip(
        node.broker.links.of_kind(FEDERATION),
        federation_records(node.broker, set(node.broker.vhosts)),
        strict=True,
    ):
        if not only_down or link.state is not LinkState.RUNNING:
            yield dict(record)


def restart_federation_link(node: Node, request: Request) -> None:
    for link in node.broker.links.of_kind(FEDERATION):
        if link_id(link) == request.text(0):
            link.restart()
            return
    raise ControlError("Link with the given ID was not found", EXIT_DATA)
