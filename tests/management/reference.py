"""Every endpoint of docs/management-reference.md, and docs/http-api.md, which says which of them are here.

`python -m tests.management.reference` writes that page.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from amqp_broker.management.api import ENDPOINTS
from amqp_broker.management.documents import WHO

PAGE: Final = Path(__file__).parent.parent.parent / "docs" / "http-api.md"

REFERENCE: Final = (
    "GET overview",
    "GET whoami",
    "GET version",
    "GET PUT cluster-name",
    "GET extensions",
    "GET nodes",
    "GET nodes/{node}",
    "GET nodes/{node}/memory",
    "GET nodes/{node}/memory/relative",
    "GET nodes/{node}/memory/ets",
    "GET top/{node}",
    "GET vhosts",
    "GET PUT DELETE vhosts/{vhost}",
    "GET vhosts/{vhost}/permissions",
    "GET vhosts/{vhost}/topic-permissions",
    "GET vhosts/{vhost}/connections",
    "GET vhosts/{vhost}/channels",
    "POST DELETE vhosts/{vhost}/deletion/protection",
    "POST vhosts/{vhost}/start/{node}",
    "GET users",
    "GET users/without-permissions",
    "POST users/bulk-delete",
    "GET PUT DELETE users/{user}",
    "GET users/{user}/permissions",
    "GET users/{user}/topic-permissions",
    "GET user-limits",
    "GET user-limits/{user}",
    "PUT DELETE user-limits/{user}/{limit}",
    "GET permissions",
    "GET PUT DELETE permissions/{vhost}/{user}",
    "GET topic-permissions",
    "GET PUT DELETE topic-permissions/{vhost}/{user}",
    "DELETE topic-permissions/{vhost}/{user}/{exchange}",
    "GET connections",
    "GET DELETE connections/{name}",
    "GET connections/{name}/channels",
    "GET connections/{name}/sessions",
    "GET DELETE connections/username/{user}",
    "GET channels",
    "GET channels/{name}",
    "GET consumers",
    "GET consumers/{vhost}",
    "GET exchanges",
    "GET exchanges/{vhost}",
    "GET PUT DELETE exchanges/{vhost}/{name}",
    "POST exchanges/{vhost}/{name}/publish",
    "GET exchanges/{vhost}/{name}/bindings/source",
    "GET exchanges/{vhost}/{name}/bindings/destination",
    "GET queues",
    "GET queues/detailed",
    "GET queues/{vhost}",
    "GET PUT DELETE queues/{vhost}/{name}",
    "GET queues/{vhost}/{name}/bindings",
    "DELETE queues/{vhost}/{name}/contents",
    "POST queues/{vhost}/{name}/get",
    "POST queues/{vhost}/{name}/actions",
    "POST rebalance/queues",
    "GET queues/quorum/{vhost}/{name}/status",
    "GET bindings",
    "GET bindings/{vhost}",
    "GET POST bindings/{vhost}/e/{source}/q/{name}",
    "GET POST bindings/{vhost}/e/{source}/e/{name}",
    "GET DELETE bindings/{vhost}/e/{source}/q/{name}/{key}",
    "GET DELETE bindings/{vhost}/e/{source}/e/{name}/{key}",
    "GET policies",
    "GET policies/{vhost}",
    "GET PUT DELETE policies/{vhost}/{name}",
    "GET operator-policies",
    "GET operator-policies/{vhost}",
    "GET PUT DELETE operator-policies/{vhost}/{name}",
    "GET parameters",
    "GET parameters/{component}",
    "GET parameters/{component}/{vhost}",
    "GET PUT DELETE parameters/{component}/{vhost}/{name}",
    "GET global-parameters",
    "GET PUT DELETE global-parameters/{name}",
    "GET vhost-limits",
    "GET vhost-limits/{vhost}",
    "PUT DELETE vhost-limits/{vhost}/{limit}",
    "GET POST definitions",
    "GET POST definitions/{vhost}",
    "GET POST all-configuration",
    "GET config/effective",
    "GET feature-flags",
    "PUT feature-flags/{name}/enable",
    "GET deprecated-features",
    "GET deprecated-features/used",
    "GET auth",
    "GET auth/hash_password/{password}",
    "GET DELETE auth/attempts/{node}",
    "GET DELETE auth/attempts/{node}/source",
    "POST login",
    "GET aliveness-test/{vhost}",
    "GET healthchecks/node",
    "GET healthchecks/node/{node}",
    "GET health/checks/alarms",
    "GET health/checks/local-alarms",
    "GET health/checks/virtual-hosts",
    "GET health/checks/port-listener/{port}",
    "GET health/checks/protocol-listener/{protocols}",
    "GET health/checks/certificate-expiration/{within}/{unit}",
    "GET health/checks/node-is-quorum-critical",
    "GET health/checks/is-in-service",
    "GET health/checks/ready-to-serve-clients",
    "GET health/checks/below-node-connection-limit",
    "GET health/checks/reached-target-cluster-size",
    "GET health/checks/metadata-store/initialized",
    "GET health/checks/metadata-store/initialized/with-data",
    "GET health/checks/quorum-queues-without-elected-leaders/all-vhosts",
    "GET health/checks/quorum-queues-without-elected-leaders/vhost/{vhost}",
    "DELETE reset",
    "DELETE reset/{node}",
    "GET traces",
    "GET traces/{vhost}",
    "GET PUT DELETE traces/{vhost}/{name}",
    "GET trace-files",
    "GET DELETE trace-files/{name}",
    "GET shovels",
    "GET shovels/{vhost}",
    "GET DELETE shovels/vhost/{vhost}/{name}",
    "DELETE shovels/vhost/{vhost}/{name}/restart",
    "GET federation-links",
    "GET federation-links/{vhost}",
    "GET federation-links/state/down/{vhost}",
    "GET stream/connections",
)
"""Methods and path."""


WHY_NOT: Final = {
    "nodes/{node}/memory/ets": "Tables that only Erlang has.",
    "top/{node}": "A plugin's list of Erlang's processes.",
    "connections/{name}/sessions": "Sessions of AMQP 1.0, which is not spoken here.",
    "queues/quorum/{vhost}/{name}/status": "Replicas, of which a single node has none.",
    "stream/connections": "The stream protocol is not spoken here; streams are read and written over AMQP.",
}
"""Of the reference, what is not here."""


def rendered() -> str:
    """The page."""
    lines = [
        "# HTTP API",
        "",
        "Every endpoint of [the reference](management-reference.md), and whether it is here. `GET /api/openapi.json`",
        "has the parameters; [http-deviations.md](http-deviations.md) what differs from RabbitMQ. Who has the tag may",
        "call; exchanges, queues, bindings and messages are touched under the caller's AMQP permissions.",
        "This page is made by `python -m tests.management.reference`.",
        "",
        "| method | path below `/api/` | here | needs | what for |",
        "|---|---|---|---|---|",
    ]
    there = {(endpoint.method, endpoint.path): endpoint for endpoint in ENDPOINTS}
    wanted = [(method, path) for *methods, path in map(str.split, REFERENCE) for method in methods]
    for method, path in wanted:
        endpoint = there.get((method, path))
        if endpoint is None:
            lines.append(f"| {method} | `{path}` | no | | {WHY_NOT[path]} |")
        else:
            lines.append(f"| {method} | `{path}` | yes | {WHO[endpoint.needs]} | {endpoint.summary} |")
    more = [endpoint for key, endpoint in there.items() if key not in wanted]
    lines += [
        "",
        "Beyond the reference:",
        "",
        "| method | path below `/api/` | needs | what for |",
        "|---|---|---|---|",
    ]
    lines += [f"| {each.method} | `{each.path}` | {WHO[each.needs]} | {each.summary} |" for each in more]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(rendered())
