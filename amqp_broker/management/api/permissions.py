"""What users may do in vhosts, with names and with routing keys: list, show, put, delete."""

from __future__ import annotations

from amqp_broker.administration import InvalidValueError, UserNotFoundError, VhostNotFoundError
from amqp_broker.administration.permissions import (
    clear_permissions,
    clear_topic_permissions,
    list_permissions,
    list_topic_permissions,
    set_permissions,
    set_topic_permissions,
)
from amqp_broker.administration.users import find_user
from amqp_broker.administration.vhosts import find_vhost
from amqp_broker.inspection.values import Record
from amqp_broker.management.call import Call, short
from amqp_broker.management.errors import ApiError, bad_request, not_found
from amqp_broker.management.listing import Listing
from amqp_broker.management.replies import NO_CONTENT, Reply, created_or_changed
from amqp_broker.management.routes import Needs, Routes

routes = Routes()


@routes.get("permissions", Needs.ADMINISTRATOR)
def list_all(call: Call) -> Listing:
    """All permissions."""
    return Listing({**item} for item in list_permissions(call.broker))


@routes.get("vhosts/{vhost}/permissions", Needs.ADMINISTRATOR)
def list_of_vhost(call: Call) -> Listing:
    """The permissions in a vhost."""
    return Listing(
        {**item} for item in list_permissions(call.broker, vhost=find_vhost(call.broker, call.path["vhost"]).name)
    )


@routes.get("users/{user}/permissions", Needs.ADMINISTRATOR)
def list_of_user(call: Call) -> Listing:
    """The permissions of a user."""
    return Listing(
        {**item} for item in list_permissions(call.broker, user=find_user(call.broker, call.path["user"]).name)
    )


@routes.get("permissions/{vhost}/{user}", Needs.ADMINISTRATOR)
def show(call: Call) -> Record:
    """What a user may do in a vhost."""
    for item in list_permissions(call.broker, vhost=call.path["vhost"], user=call.path["user"]):
        return {**item}
    raise not_found()


@routes.put("permissions/{vhost}/{user}", Needs.ADMINISTRATOR)
def put(call: Call) -> Reply:
    """Let a user into a vhost, with three patterns: what to configure, write and read there."""
    call.require("configure", "write", "read")
    patterns = (call.text("configure"), call.text("write"), call.text("read"))
    try:
        is_new = set_permissions(call.broker, call.path["user"], call.path["vhost"], *patterns, by=call.user.name)
    except (UserNotFoundError, VhostNotFoundError, InvalidValueError) as error:
        raise _refused(error) from None
    return created_or_changed(is_new)


@routes.delete("permissions/{vhost}/{user}", Needs.ADMINISTRATOR)
def remove(call: Call) -> Reply:
    """Let a user no longer into a vhost."""
    if not clear_permissions(call.broker, call.path["user"], call.path["vhost"], by=call.user.name):
        raise not_found()
    return NO_CONTENT


@routes.get("topic-permissions", Needs.ADMINISTRATOR)
def list_all_topic(call: Call) -> Listing:
    """All restrictions of routing keys."""
    return Listing({**item} for item in list_topic_permissions(call.broker))


@routes.get("vhosts/{vhost}/topic-permissions", Needs.ADMINISTRATOR)
def list_topic_of_vhost(call: Call) -> Listing:
    """The restrictions of routing keys in a vhost."""
    return Listing(
        {**item} for item in list_topic_permissions(call.broker, vhost=find_vhost(call.broker, call.path["vhost"]).name)
    )


@routes.get("users/{user}/topic-permissions", Needs.ADMINISTRATOR)
def list_topic_of_user(call: Call) -> Listing:
    """The restrictions of routing keys for a user."""
    return Listing(
        {**item} for item in list_topic_permissions(call.broker, user=find_user(call.broker, call.path["user"]).name)
    )


@routes.get("topic-permissions/{vhost}/{user}", Needs.ADMINISTRATOR)
def show_topic(call: Call) -> list[Record]:
    """The restrictions of routing keys for a user in a vhost."""
    items = list_topic_permissions(call.broker, vhost=call.path["vhost"], user=call.path["user"])
    if not items:
        raise not_found()
    return [{**item} for item in items]


@routes.put("topic-permissions/{vhost}/{user}", Needs.ADMINISTRATOR)
def put_topic(call: Call) -> Reply:
    """Restrict the routing keys that a user may use at an exchange."""
    call.require("exchange", "write", "read")
    patterns = (call.text("write"), call.text("read"))
    exchange = short("exchange", call.text("exchange"))
    try:
        is_new = set_topic_permissions(
            call.broker, call.path["user"], call.path["vhost"], exchange, *patterns, by=call.user.name
        )
    except (UserNotFoundError, VhostNotFoundError, InvalidValueError) as error:
        raise _refused(error) from None
    return created_or_changed(is_new)


@routes.delete("topic-permissions/{vhost}/{user}", Needs.ADMINISTRATOR)
@routes.delete("topic-permissions/{vhost}/{user}/{exchange}", Needs.ADMINISTRATOR)
def remove_topic(call: Call) -> Reply:
    """Let a user use all routing keys again, at one exchange or at all of a vhost."""
    user, vhost = call.path["user"], call.path["vhost"]
    if not clear_topic_permissions(call.broker, user, vhost, call.path.get("exchange"), by=call.user.name):
        raise not_found()
    return NO_CONTENT


def _refused(error: Exception) -> ApiError:
    """RabbitMQ does not say which of the two is missing, and does not call it 404."""
    return bad_request(str(error) if isinstance(error, InvalidValueError) else "vhost_or_user_not_found")
