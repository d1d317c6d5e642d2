"""How one logs in, and how often that was tried."""

from __future__ import annotations

import base64
from typing import Final

from amqp_broker.auth.passwords import PasswordHash
from amqp_broker.events import EventKind
from amqp_broker.inspection.values import Record
from amqp_broker.management.api.health import check_node_name
from amqp_broker.management.api.overview import caller_record
from amqp_broker.management.call import Call
from amqp_broker.management.replies import NO_CONTENT, Reply
from amqp_broker.management.routes import Needs, Routes

routes = Routes()

MAX_FORM_OCTETS: Final = 5000
"""Read before anybody has logged in."""


@routes.get("auth", Needs.NOBODY)
def show_settings(_call: Call) -> Record:
    """What the page needs to know before a login."""
    return {"oauth_enabled": False}


@routes.post("login", takes_form=True, max_body_octets=MAX_FORM_OCTETS)
def log_in(call: Call) -> Record:
    """Try a name and a password, in a form, and get what to send as `authorization` from then on."""
    fields = call.fields
    token = base64.b64encode(f"{fields.get('username', '')}:{fields.get('password', '')}".encode()).decode()
    return {"token": {"type": "basic", "value": token}, "user": caller_record(call)}


@routes.delete("login", Needs.NOBODY)
def log_out(_call: Call) -> Reply:
    """Nothing: no login is kept."""
    return NO_CONTENT


@routes.get("auth/hash_password/{password}", Needs.ADMINISTRATOR)
def hash_password(call: Call) -> Record:
    """The salted hash of a password, as users have it."""
    return {"ok": PasswordHash.of(call.path["password"].encode()).text}


@routes.get("auth/attempts/{node}", Needs.MONITORING)
def list_attempts(call: Call) -> list[Record]:
    """How often somebody tried to log in, by protocol."""
    check_node_name(call)
    attempts, counts = call.attempts, call.broker.events.counts
    return [
        _record("http", attempts.succeeded, attempts.failed),
        _record(
            "amqp091",
            counts[EventKind.USER_AUTHENTICATION_SUCCESS] - attempts.amqp_succeeded_before,
            counts[EventKind.USER_AUTHENTICATION_FAILURE] - attempts.amqp_failed_before,
        ),
    ]


@routes.get("auth/attempts/{node}/source", Needs.MONITORING)
def list_attempts_by_source(call: Call) -> list[Record]:
    """The same by address and user, of which nothing is kept."""
    check_node_name(call)
    return []


@routes.delete("auth/attempts/{node}", Needs.ADMINISTRATOR)
@routes.delete("auth/attempts/{node}/source", Needs.ADMINISTRATOR)
def reset_attempts(call: Call) -> Reply:
    """Count from 0 again."""
    check_node_name(call)
    attempts, counts = call.attempts, call.broker.events.counts
    attempts.succeeded = attempts.failed = 0
    attempts.amqp_succeeded_before = counts[EventKind.USER_AUTHENTICATION_SUCCESS]
    attempts.amqp_failed_before = counts[EventKind.USER_AUTHENTICATION_FAILURE]
    return NO_CONTENT


def _record(protocol: str, succeeded: int, failed: int) -> Record:
    return {
        "protocol": protocol,
        "auth_attempts": succeeded + failed,
        "auth_attempts_failed": failed,
        "auth_attempts_succeeded": succeeded,
    }
