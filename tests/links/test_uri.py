"""AMQP URIs, as RabbitMQ's specification of them has them."""

from __future__ import annotations

from pathlib import Path

import pytest

from amqp_broker.links.uri import InvalidUriError, Uri


@pytest.mark.parametrize(
    ("text", "uri"),
    [
        ("amqp://user:pass@host:10000/vhost", Uri("host", 10000, "user", "pass", "vhost")),
        ("amqp://user%61:%61pass@ho%61st:10000/v%2Fhost", Uri("hoast", 10000, "usera", "apass", "v/host")),
        ("amqp://", Uri()),
        ("amqp://:@/", Uri(user="", password="", vhost="")),
        ("amqp:///vhost", Uri(vhost="vhost")),
        ("amqp://host", Uri("host")),
        ("amqp://host/%2F", Uri("host", vhost="/")),
        ("amqp://[::1]", Uri("::1")),
        ("amqps://host", Uri("host", 5671, is_encrypted=True)),
        (
            "amqps://h?cacertfile=/ca.pem&certfile=/c.pem&keyfile=/k.pem&verify=verify_none&server_name_indication=s"
            "&heartbeat=7&connection_timeout=1500",
            Uri(
                "h",
                5671,
                is_encrypted=True,
                ca=Path("/ca.pem"),
                certificate=Path("/c.pem"),
                key=Path("/k.pem"),
                verifies=False,
                server_name="s",
                heartbeat_s=7,
                connection_timeout_s=1.5,
            ),
        ),
    ],
)
def test_a_uri_is_read(text: str, uri: Uri) -> None:
    assert Uri.parse(text) == uri


@pytest.mark.parametrize(
    "text",
    ["", "host", "http://host", "amqp://host:99999", "amqp://host:x", "amqp://host/a/b", "amqp://[::1", "amqp://h/#f"]
    + [f"amqps://h?{query}" for query in ("verify=maybe", "heartbeat=-1", "heartbeat=70000", "connection_timeout=x")]
    + ["amqp://h/" + "v" * 256],
)
def test_what_is_none_is_refused_without_showing_a_password(text: str) -> None:
    with pytest.raises(InvalidUriError) as caught:
        Uri.parse(text)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("amqp://u:secret@h:5673/v%2Fw", "amqp://h:5673/v%2Fw"),
        ("amqps://u:secret@[::1]:5671", "amqps://[::1]"),
        ("amqp:///v", "amqp:///v"),
    ],
)
def test_no_password_is_shown(text: str, shown: str) -> None:
    assert Uri.parse(text).shown == shown
    assert "secret" not in repr(Uri.parse(text))
