"""Feature flags, all enabled, and what is going out of use."""

from __future__ import annotations

from amqp_broker.inspection.features import FLAGS, deprecated_records, deprecated_used_records, flag_records
from amqp_broker.inspection.values import Record
from amqp_broker.management.call import Call
from amqp_broker.management.errors import bad_request
from amqp_broker.management.replies import NO_CONTENT, Reply
from amqp_broker.management.routes import Needs, Routes

routes = Routes()


@routes.get("feature-flags")
def list_flags(_call: Call) -> list[Record]:
    """All feature flags."""
    return flag_records()


@routes.put("feature-flags/{name}/enable", Needs.ADMINISTRATOR)
def enable_flag(call: Call) -> Reply:
    """Enable a feature flag, which it is."""
    if call.path["name"] not in FLAGS:
        raise bad_request(f"unknown feature flag '{call.path['name']}'")
    return NO_CONTENT


@routes.get("deprecated-features")
def list_deprecated(_call: Call) -> list[Record]:
    """What is going out of use."""
    return deprecated_records()


@routes.get("deprecated-features/used")
def list_deprecated_used(call: Call) -> list[Record]:
    """What is going out of use and is in use here."""
    return deprecated_used_records(call.broker)
