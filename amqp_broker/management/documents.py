"""What people read below `/api/` and `/cli/`: the list of endpoints, and how to get rabbitmqadmin."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Final

from amqp_broker.management.api import ENDPOINTS
from amqp_broker.management.routes import Needs
from amqp_broker.management.static import Pages

SCRIPT: Final = Path(__file__).with_name("rabbitmqadmin.py")

WHO: Final = {
    Needs.NOBODY: "nobody",
    Needs.MANAGEMENT: "any tag",
    Needs.POLICYMAKER: "policymaker",
    Needs.MONITORING: "monitoring",
    Needs.ADMINISTRATOR: "administrator",
}
"""Who may call an endpoint, in words."""

_PAGE: Final = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<link rel="icon" href="../icon.svg">
<link rel="stylesheet" href="../style.css">
</head>
<body>
<main>
<h1 class="title">{title}</h1>
<div class="card wide">
{content}</div>
</main>
</body>
</html>
"""

_CLI: Final = """\
<p><a href="rabbitmqadmin" download="rabbitmqadmin">rabbitmqadmin</a> is one file, needs Python 3.10
or later and nothing else, and has the sub-commands and options of the script of that name that came with RabbitMQ up
to 4.2.</p>
<pre>curl -O http://127.0.0.1:15672/cli/rabbitmqadmin
chmod +x rabbitmqadmin
./rabbitmqadmin help</pre>
"""

_API: Final = """\
<p>RabbitMQ's management API. Log in by HTTP Basic; each name in a path is percent-encoded on its own, so the vhost / is
%2F. <a href="openapi.json">openapi.json</a> says the same to programs.</p>
<table>
<thead><tr><th>Method</th><th>Path below /api/</th><th>Needs</th><th>What for</th></tr></thead>
<tbody>
{rows}</tbody>
</table>
"""


def add_documents(pages: Pages) -> None:
    """Serve them."""
    html = "text/html; charset=utf-8"
    pages.add("/cli/", _PAGE.format(title="rabbitmqadmin", content=_CLI).encode(), html)
    pages.add("/cli/rabbitmqadmin", SCRIPT.read_bytes(), "text/plain; charset=utf-8")
    for path in ("/api/", "/api/index.html"):
        pages.add(path, _api_page().encode(), html)


def _api_page() -> str:
    """All endpoints."""
    rows = "".join(
        f"<tr><td>{each.method}</td><td><code>{escape(each.path)}</code></td><td>{WHO[each.needs]}</td>"
        f"<td>{escape(each.summary)}</td></tr>\n"
        for each in ENDPOINTS
    )
    return _PAGE.format(title="HTTP API", content=_API.format(rows=rows))
