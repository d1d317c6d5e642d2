"""Health checks: 200 with `ok`, or 503 with `failed` and why (management reference, 1.3.1)."""

from __future__ import annotations

from amqp_broker.inspection.values import Json
from amqp_broker.management.call import Call, whole_number
from amqp_broker.management.errors import bad_request, not_found
from amqp_broker.management.expiry import expiries_in
from amqp_broker.management.replies import Reply
from amqp_broker.management.routes import Needs, Routes

routes = Routes()

OK: dict[str, Json] = {"status": "ok"}

PROTOCOL_NAMES = {
    "amqp091": "amqp",
    "amqp0-9-1": "amqp",
    "amqp0.9.1": "amqp",
    "amqps": "amqp/ssl",
}
"""Other spellings of a listener's protocol."""


DAYS_OF = {"days": 1, "weeks": 7, "months": 30, "years": 365}
"""How long a unit is."""


def failed(reason: str, **more: Json) -> Reply:
    return Reply(503, {"status": "failed", "reason": reason, **more})


@routes.get("health/checks/alarms")
def check_alarms(call: Call) -> object:
    """Whether nothing runs short, on any node of a cluster."""
    return check_local_alarms(call)


@routes.get("health/checks/local-alarms")
def check_local_alarms(call: Call) -> object:
    """Whether nothing runs short on this node."""
    alarms = [{"node": call.node.name, "resource": resource} for resource in call.broker.alarms]
    return failed("Alarm(s) in effect", alarms=alarms) if alarms else OK


@routes.get("health/checks/virtual-hosts")
def check_virtual_hosts(call: Call) -> object:
    """Whether all vhosts are there: in a cluster, on some node."""
    down: list[Json] = [*call.node.vhosts_down]
    return failed("Some virtual hosts are down", **{"virtual-hosts": down}) if down else OK


@routes.get("health/checks/port-listener/{port}")
def check_port_listener(call: Call) -> object:
    """Whether a port is listened on."""
    try:
        port = int(call.path["port"])
    except ValueError:
        raise bad_request("port is not an integer") from None
    ports = sorted({listener.port for listener in call.node.listeners})
    if port in ports:
        return {"status": "ok", "port": port}
    return failed("No active listener", missing=port, ports=ports)


@routes.get("health/checks/protocol-listener/{protocols}")
def check_protocol_listener(call: Call) -> object:
    """Whether protocols are listened for; several are divided by commas."""
    there = sorted({listener.protocol for listener in call.node.listeners})
    wanted = [protocol.strip() for protocol in call.path["protocols"].split(",")]
    missing = [name for name in wanted if PROTOCOL_NAMES.get(name.lower(), name.lower()) not in there]
    if missing:
        return failed("No active listener", missing=missing, protocols=there)
    return {"status": "ok", "protocols": there}


@routes.get("health/checks/certificate-expiration/{within}/{unit}")
def check_certificates(call: Call) -> object:
    """Whether no certificate of the listeners expires within a time."""
    days = DAYS_OF.get(call.path["unit"])
    if days is None:
        raise bad_request(f"unit has to be one of {', '.join(DAYS_OF)}")
    within = whole_number("within", call.path["within"]) * days
    expired = []
    for certificate in (one for tls in call.broker.config.all_tls for one in tls.certificates):
        try:
            ends = min(expiries_in(certificate.chain))
        except (OSError, ValueError):
            return failed(f"{certificate.chain} cannot be read")
        left_s = ends.timestamp() - call.broker.timers.now()
        if left_s <= within * 86400:
            expired.append({"name": str(certificate.chain), "certfile_expires_on": ends.isoformat()})
    return failed("Certificates expiring", expired=expired) if expired else OK


@routes.get("health/checks/node-is-quorum-critical")
def check_node_is_quorum_critical(call: Call) -> object:
    """Whether all hangs on this node: in a cluster, when none of the others runs. A majority is a matter of NATS."""
    if call.node.is_critical:
        return failed("No other node runs that could have the vhosts of the target node if that is shut down")
    members = () if call.node.cluster is None else call.node.cluster.members()
    return OK if len(members) > 1 else {**OK, "reason": "single node cluster"}


@routes.get("health/checks/quorum-queues-without-elected-leaders/all-vhosts")
@routes.get("health/checks/quorum-queues-without-elected-leaders/vhost/{vhost}")
def check_leaders(call: Call) -> object:
    """Whether queues are there: in a cluster, their vhosts on some node."""
    down = [name for name in call.node.vhosts_down if name == call.path.get("vhost", name)]
    return failed("Some virtual hosts are down", **{"virtual-hosts": down}) if down else OK


@routes.get("health/checks/reached-target-cluster-size")
@routes.get("health/checks/metadata-store/initialized")
@routes.get("health/checks/metadata-store/initialized/with-data")
def check_cluster(_call: Call) -> object:
    """What is so as soon as a node answers: there is no target, and it knows what is administered."""
    return OK


@routes.get("health/checks/is-in-service", Needs.NOBODY)
def check_in_service(call: Call) -> object:
    """Whether clients are let in, and this node is not being drained."""
    return OK if call.node.is_in_service else failed("this rabbit node is not in service")


@routes.get("health/checks/ready-to-serve-clients", Needs.NOBODY)
def check_ready(call: Call) -> object:
    """Whether clients are served: in service, below the limit of connections, and in a cluster NATS within reach."""
    if call.node.cluster is not None and call.node.cluster.is_cut_off():
        return failed("this node is cut off from what keeps the cluster's log (NATS)")
    checked = check_in_service(call)
    return check_connection_limit(call) if checked is OK else checked


@routes.get("health/checks/below-node-connection-limit", Needs.NOBODY)
def check_connection_limit(call: Call) -> object:
    """Whether a further connection would be let in."""
    limit = call.broker.config.max_connections
    current = sum(1 for _ in call.broker.open_clients())
    if limit is not None and current >= limit:
        return failed("node connection limit is reached", current=current, limit=limit)
    return OK


@routes.get("healthchecks/node")
@routes.get("healthchecks/node/{node}")
def check_node(call: Call) -> object:
    """The check of old releases."""
    check_node_name(call)
    return check_alarms(call)


@routes.get("aliveness-test/{vhost}")
def check_aliveness(call: Call) -> object:
    """Whether a vhost is there."""
    assert call.vhost
    return OK


def check_node_name(call: Call) -> None:
    """Accept a path without a node, or with this one. Raises ApiError 404."""
    if call.path.get("node", call.node.name) != call.node.name:
        raise not_found()
