"""Paths of the HTTP API."""

from __future__ import annotations

import pytest

from amqp_broker.management.api import ENDPOINTS
from amqp_broker.management.routes import Router, Routes
from tests.management.reference import PAGE, rendered

routes = Routes()


@routes.get("queues")
@routes.get("queues/{vhost}")
@routes.get("queues/{vhost}/{name}")
@routes.put("queues/{vhost}/{name}")
@routes.get("queues/detailed")
@routes.get("connections/username/{user}")
@routes.get("connections/{name}/channels")
def handler(_call: object) -> object:
    """Do nothing."""
    return None


ROUTER = Router(routes)


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("queues", {}),
        ("queues/", {}),
        ("queues/%2F", {"vhost": "/"}),
        ("queues/%2f/a%2Fb%20c", {"vhost": "/", "name": "a/b c"}),
        ("queues/v+1/q+1", {"vhost": "v+1", "name": "q+1"}),
        ("queues/detailed", {}),
        ("connections/username/channels", {"user": "channels"}),
        ("connections/x/channels", {"name": "x"}),
        ("queues/%2F/%0A%22%3Cscript%3E", {"vhost": "/", "name": '\n"<script>'}),
    ],
)
def test_each_segment_is_decoded_on_its_own(path: str, names: dict[str, str]) -> None:
    found = ROUTER.find(path)
    assert found is not None
    assert found.names == names


@pytest.mark.parametrize("path", ["", "nope", "queues/a/b/c", "connections/x"])
def test_other_paths_lead_to_nothing(path: str) -> None:
    assert ROUTER.find(path) is None


def test_methods_are_listed_as_clients_expect() -> None:
    found = ROUTER.find("queues/v/q")
    assert found is not None
    assert found.allow == "HEAD, GET, PUT, OPTIONS"


def test_octets_that_are_no_utf_8_are_refused() -> None:
    with pytest.raises(UnicodeDecodeError):
        ROUTER.find("queues/%FF")


def test_all_endpoints_fit_together_and_say_what_they_are_for() -> None:
    assert Router(ENDPOINTS)
    assert [endpoint.path for endpoint in ENDPOINTS if not endpoint.summary.endswith(".")] == []


def test_the_page_tells_which_endpoints_there_are() -> None:
    assert PAGE.read_text() == rendered()
