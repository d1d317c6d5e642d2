"""Definitions, written: what RabbitMQ's `export_definitions` writes, so that RabbitMQ can read it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from amqp_broker.administration.parameters import (
    list_global_parameters,
    list_parameters,
    list_policies,
)
from amqp_broker.administration.permissions import list_permissions, list_topic_permissions
from amqp_broker.administration.users import list_users
from amqp_broker.administration.values import as_json
from amqp_broker.administration.vhosts import find_vhost, vhost_limits, vhost_metadata
from amqp_broker.broker import Broker
from amqp_broker.queues.queue import Queue
from amqp_broker.registry import Json
from amqp_broker.routing.exchange import DEFAULT_EXCHANGE, Exchange
from amqp_broker.vhost import Vhost


def export_definitions(broker: Broker, vhost: str | None = None) -> dict[str, Json]:
    """Write all definitions, or those of one vhost, whose items then don't name it.

    Transient queues and exchanges are among them, as in RabbitMQ; exclusive ones, what every vhost has anyway, and
    messages are not.

    Raises:
        VhostNotFoundError: there is no such vhost.
    """
    if vhost is not None:
        return _export_vhost(broker, find_vhost(broker, vhost))
    vhosts = list(broker.vhosts.values())
    cluster_name = broker.cluster_name
    return {
        **_versions(broker),
        "rabbitmq_definition_format": "cluster",
        "original_cluster_name": cluster_name,
        "explanation": f"Definitions of cluster '{cluster_name}'",
        "users": _items(list_users(broker)),
        "vhosts": [
            {"name": each.name, "metadata": vhost_metadata(each), "limits": vhost_limits(broker, each.name)}
            for each in vhosts
        ],
        "permissions": _items(list_permissions(broker)),
        "topic_permissions": _items(list_topic_permissions(broker)),
        "parameters": _items(list_parameters(broker)),
        "global_parameters": [
            item for item in list_global_parameters(broker) if not str(item["name"]).startswith("internal")
        ],
        "policies": _items(list_policies(broker)),
        "queues": [item for each in vhosts for item in _queues(each)],
        "exchanges": [item for each in vhosts for item in _exchanges(each)],
        "bindings": [item for each in vhosts for item in _bindings(each)],
    }


def join(exports: Sequence[dict[str, Json]]) -> dict[str, Json]:
    """One export of all definitions, out of those of several nodes: each has what is in its own vhosts."""
    joined = {**exports[0]}
    for section in ("queues", "exchanges", "bindings"):
        items: list[Json] = []
        for each in exports:
            part = each[section]
            assert isinstance(part, list)
            items += part
        joined[section] = items
    return joined


def _export_vhost(broker: Broker, vhost: Vhost) -> dict[str, Json]:
    return {
        **_versions(broker),
        "rabbitmq_definition_format": "single_virtual_host",
        "original_vhost_name": vhost.name,
        "explanation": f"Definitions of virtual host '{vhost.name}'",
        "metadata": vhost_metadata(vhost),
        "description": vhost.description,
        "default_queue_type": str(vhost.default_queue_type),
        "limits": vhost_limits(broker, vhost.name),
        "parameters": _without_vhost(list_parameters(broker, vhost.name)),
        "policies": _without_vhost(list_policies(broker, vhost.name)),
        "queues": _without_vhost(_queues(vhost)),
        "exchanges": _without_vhost(_exchanges(vhost)),
        "bindings": _without_vhost(_bindings(vhost)),
    }


def _versions(broker: Broker) -> dict[str, Json]:
    version, product = broker.config.version, broker.config.product
    return {
        "rabbit_version": version,
        "rabbitmq_version": version,
        "product_name": product,
        "product_version": version,
    }


def _items(items: list[dict[str, Json]]) -> list[Json]:
    return [*items]


def _without_vhost(items: list[dict[str, Json]] | Iterator[dict[str, Json]]) -> list[Json]:
    return [{key: value for key, value in item.items() if key != "vhost"} for item in items]


def _queues(vhost: Vhost) -> Iterator[dict[str, Json]]:
    for queue in vhost.queues.values():
        if queue.exclusive_owner is None:
            yield {
                "name": queue.name,
                "vhost": vhost.name,
                "durable": queue.durable,
                "auto_delete": queue.auto_delete,
                "arguments": as_json({**queue.arguments, "x-queue-type": str(queue.options.type)}),
                "type": str(queue.options.type),
            }


def _exchanges(vhost: Vhost) -> Iterator[dict[str, Json]]:
    for exchange in vhost.exchanges.values():
        if not vhost.is_predeclared(exchange.name):
            item: dict[str, Json] = {
                "name": exchange.name,
                "vhost": vhost.name,
                "type": exchange.type,
                "durable": exchange.durable,
                "auto_delete": exchange.auto_delete,
                "arguments": as_json(exchange.arguments),
            }
            if exchange.internal:
                item["internal"] = True
            yield item


def _bindings(vhost: Vhost) -> Iterator[dict[str, Json]]:
    for exchange in vhost.exchanges.values():
        if exchange.name == DEFAULT_EXCHANGE:
            continue
        for binding in exchange.bindings.values():
            destination = binding.destination
            if isinstance(destination, Queue) and destination.exclusive_owner is not None:
                continue
            yield {
                "source": exchange.name,
                "vhost": vhost.name,
                "destination": destination.name,
                "destination_type": "exchange" if isinstance(destination, Exchange) else "queue",
                "routing_key": binding.routing_key,
                "arguments": as_json(binding.arguments),
            }
