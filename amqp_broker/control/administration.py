"""Users, vhosts, permissions, policies, parameters, limits: the broker's administration, as commands."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, Final

from amqp_broker.administration import exporting, importing, loading, parameters, permissions, users, vhosts
from amqp_broker.administration.errors import (
    AdministrationError,
    InvalidValueError,
    TooManyVhostsError,
    UserExistsError,
    UserNotFoundError,
)
from amqp_broker.administration.fields import InvalidDefinitionsError
from amqp_broker.administration.left import Left
from amqp_broker.administration.reading import reading_document
from amqp_broker.auth.passwords import InvalidHashError, PasswordHash
from amqp_broker.control.errors import (
    EXIT_DATA,
    EXIT_NO_USER,
    EXIT_SOFTWARE,
    EXIT_UNAVAILABLE,
    EXIT_USAGE,
    ControlError,
)
from amqp_broker.control.request import Answer, Request
from amqp_broker.events import INTERNAL_USER
from amqp_broker.inspection.node import Node
from amqp_broker.registry import CLUSTER_NAME

Row = dict[str, Any]

STATUSES: Final = {
    UserNotFoundError: EXIT_NO_USER,
    UserExistsError: EXIT_SOFTWARE,
    TooManyVhostsError: EXIT_USAGE,
    InvalidDefinitionsError: EXIT_DATA,
}
"""Others are 69, as RabbitMQ has it."""

# Users


def list_users(node: Node, _request: Request) -> Iterator[Row]:
    for item in users.list_users(node.broker):
        yield {"user": item["name"], "tags": item["tags"]}


def add_user(node: Node, request: Request) -> Iterable[str]:
    password: str | PasswordHash = request.text(1)
    if "pre-hashed-password" in request.options:
        try:
            password = PasswordHash.from_text(request.text(1))
        except InvalidHashError as error:
            raise ControlError(f"the password hash is wrong: {error}", EXIT_DATA) from None
    users.add_user(node.broker, request.text(0), password)
    yield (
        "Done. Don't forget to grant the user permissions to some virtual hosts! "
        "See 'rabbitmqctl help set_permissions' to learn more."
    )


def delete_user(node: Node, request: Request) -> None:
    """No error for a user that is not there: RabbitMQ 4.3 has none either."""
    if node.broker.users.get(request.text(0)) is not None:
        users.delete_user(node.broker, request.text(0))


def change_password(node: Node, request: Request) -> None:
    users.change_password(node.broker, request.text(0), request.text(1))


def clear_password(node: Node, request: Request) -> None:
    users.clear_password(node.broker, request.text(0))


def authenticate_user(node: Node, request: Request) -> Iterable[str]:
    name = request.text(0)
    if not users.authenticate_user(node.broker, name, request.text(1)):
        text = f"Error: failed to authenticate user \"{name}\"\nuser '{name}' - invalid credentials"
        raise ControlError(text, EXIT_DATA)
    yield "Success"


def set_user_tags(node: Node, request: Request) -> None:
    users.set_user_tags(node.broker, request.text(0), [str(tag) for tag in request.arguments[1:]])


def list_user_limits(node: Node, request: Request) -> Iterator[Row]:
    """The limits of one user, or of all who have some."""
    name = request.options.get("user")
    if name is not None:
        yield dict(users.user_limits(users.find_user(node.broker, str(name))))
        return
    for user in list(node.broker.users):
        limits = users.user_limits(user)
        if limits:
            yield {"user": user.name, "limits": limits}


def set_user_limits(node: Node, request: Request) -> None:
    users.set_user_limits(node.broker, request.text(0), _json(request.text(1)))


def clear_user_limits(node: Node, request: Request) -> None:
    users.clear_user_limits(node.broker, request.text(0), request.text(1))


# Permissions


def list_permissions(node: Node, request: Request) -> Iterator[Row]:
    vhosts.find_vhost(node.broker, request.vhost)
    return iter(permissions.list_permissions(node.broker, vhost=request.vhost))


def list_user_permissions(node: Node, request: Request) -> Iterator[Row]:
    users.find_user(node.broker, request.text(0))
    return iter(permissions.list_permissions(node.broker, user=request.text(0)))


def set_permissions(node: Node, request: Request) -> None:
    configure, write, read = (request.text(index) for index in (1, 2, 3))
    permissions.set_permissions(node.broker, request.text(0), request.vhost, configure, write, read)


def clear_permissions(node: Node, request: Request) -> None:
    permissions.clear_permissions(node.broker, request.text(0), request.vhost)


def list_topic_permissions(node: Node, request: Request) -> Iterator[Row]:
    vhosts.find_vhost(node.broker, request.vhost)
    return iter(permissions.list_topic_permissions(node.broker, vhost=request.vhost))


def list_user_topic_permissions(node: Node, request: Request) -> Iterator[Row]:
    users.find_user(node.broker, request.text(0))
    return iter(permissions.list_topic_permissions(node.broker, user=request.text(0)))


def set_topic_permissions(node: Node, request: Request) -> None:
    user, exchange, write, read = (request.text(index) for index in range(4))
    permissions.set_topic_permissions(node.broker, user, request.vhost, exchange, write, read)


def clear_topic_permissions(node: Node, request: Request) -> None:
    permissions.clear_topic_permissions(node.broker, request.text(0), request.vhost, request.text(1) or None)


# Vhosts


def list_vhosts(node: Node, _request: Request) -> Iterator[Row]:
    for item in vhosts.list_vhosts(node.broker):
        vhost = node.broker.vhosts[str(item["name"])]
        yield dict(item) | {"protected_from_deletion": vhost.is_protected, "cluster_state": f"{node.name} => running"}


def add_vhost(node: Node, request: Request) -> None:
    _set_vhost(node, request)


def update_vhost_metadata(node: Node, request: Request) -> None:
    vhosts.find_vhost(node.broker, request.text(0))
    _set_vhost(node, request)
    protected = request.options.get("protected-from-deletion")
    if protected is not None:
        vhosts.set_protection(node.broker, request.text(0), protected == "true")


def delete_vhost(node: Node, request: Request) -> None:
    name = request.text(0)
    if name not in node.broker.vhosts:
        raise ControlError(f"Virtual host '{name}' does not exist", EXIT_DATA, is_bare=True)
    vhosts.delete_vhost(node.broker, name)


def set_vhost_tags(node: Node, request: Request) -> None:
    vhosts.find_vhost(node.broker, request.text(0))
    vhosts.add_vhost(node.broker, request.text(0), tags=[str(tag) for tag in request.arguments[1:]])


def set_protection(is_protected: bool, node: Node, request: Request) -> None:
    vhosts.set_protection(node.broker, request.text(0), is_protected)


def set_tracing(is_tracing: bool, node: Node, request: Request) -> Iterable[str]:
    vhosts.find_vhost(node.broker, request.vhost)
    vhosts.add_vhost(node.broker, request.vhost, is_tracing=is_tracing)
    yield f"Trace {'enabled' if is_tracing else 'disabled'} for vhost {request.vhost}"


def list_vhost_limits(node: Node, request: Request) -> Iterator[Row]:
    if "global" not in request.options:
        limits = vhosts.vhost_limits(node.broker, vhosts.find_vhost(node.broker, request.vhost).name)
        if limits:
            yield dict(limits)
        return
    for name in list(node.broker.vhosts):
        limits = vhosts.vhost_limits(node.broker, name)
        if limits:
            yield {"vhost": name, "limits": limits}


def set_vhost_limits(node: Node, request: Request) -> None:
    vhosts.set_vhost_limits(node.broker, request.vhost, _json(request.text(0)))


def clear_vhost_limits(node: Node, request: Request) -> None:
    vhosts.clear_vhost_limits(node.broker, request.vhost)


def _set_vhost(node: Node, request: Request) -> None:
    options = {key: str(value) for key, value in request.options.items()}
    tags = options.get("tags")
    vhosts.add_vhost(
        node.broker,
        request.text(0),
        description=options.get("description"),
        tags=None if tags is None else [tag for tag in tags.split(",") if tag],
        default_queue_type=options.get("default-queue-type"),
    )


# Policies and parameters


def list_policies(is_operators: bool, node: Node, request: Request) -> Iterator[Row]:
    vhosts.find_vhost(node.broker, request.vhost)
    return iter(parameters.list_policies(node.broker, request.vhost, is_operators=is_operators))


def set_policy(is_operators: bool, node: Node, request: Request) -> None:
    name, pattern, definition = (request.text(index) for index in range(3))
    priority = str(request.options.get("priority", "0"))
    parameters.set_policy(
        node.broker,
        request.vhost,
        name,
        pattern,
        _json(definition),
        priority=int(priority) if priority.lstrip("-").isdigit() else priority,
        apply_to=str(request.options.get("apply-to", "all")),
        is_operators=is_operators,
    )


def clear_policy(is_operators: bool, node: Node, request: Request) -> None:
    parameters.clear_policy(node.broker, request.vhost, request.text(0), is_operators=is_operators)


def list_parameters(node: Node, request: Request) -> Iterator[Row]:
    vhosts.find_vhost(node.broker, request.vhost)
    for item in parameters.list_parameters(node.broker, request.vhost):
        yield dict(item) | {"value": _text_of(item["value"])}


def set_parameter(node: Node, request: Request) -> None:
    component, name, value = (request.text(index) for index in range(3))
    parameters.set_parameter(node.broker, request.vhost, component, name, _json(value))


def clear_parameter(node: Node, request: Request) -> None:
    parameters.clear_parameter(node.broker, request.vhost, request.text(0), request.text(1))


def list_global_parameters(node: Node, _request: Request) -> Iterator[Row]:
    for item in parameters.list_global_parameters(node.broker):
        yield dict(item) | {"value": _text_of(item["value"])}


def set_global_parameter(node: Node, request: Request) -> None:
    parameters.set_global_parameter(node.broker, request.text(0), _json(request.text(1)))


def clear_global_parameter(node: Node, request: Request) -> None:
    parameters.clear_global_parameter(node.broker, request.text(0))


def set_cluster_name(node: Node, request: Request) -> None:
    parameters.set_global_parameter(node.broker, CLUSTER_NAME, request.text(0))


# Definitions


def export_definitions(node: Node, _request: Request) -> Iterable[str]:
    """Everything, as one line of JSON."""
    yield json.dumps(exporting.export_definitions(node.broker), separators=(",", ":"))


def import_definitions(node: Node, request: Request) -> Iterator[Left | None]:
    """Take over the file that comes with the request; with `skip-if-unchanged`, only if it is not the one before."""
    skips = "skip-if-unchanged" in request.options
    if skips and loading.is_unchanged(node.broker, [request.content]):
        return
    document = yield from reading_document(request.content)
    by = str(request.options.get("by", INTERNAL_USER))
    if "rehearse" in request.options:  # another node is about to import it, and has us look at what is here
        yield from importing.rehearsing_definitions(node.broker, document, by=by)
        return
    yield (yield from importing.importing_definitions(node.broker, document, by=by))
    if skips:
        loading.remember(node.broker, [request.content])


def as_control_error(error: AdministrationError) -> ControlError:
    """The exit status that RabbitMQ's tool has for it."""
    status = next((status for kind, status in STATUSES.items() if isinstance(error, kind)), EXIT_UNAVAILABLE)
    return ControlError(str(error), status)


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise InvalidValueError(
            f'Could not parse JSON document: {{error,{{failed_to_decode_json,<<"{text}">>}}}}'
        ) from None


def _text_of(value: Any) -> Any:
    """Values of parameters are shown as JSON, even a plain text, but for an empty list."""
    return value if isinstance(value, dict | list) else json.dumps(value)


Run = Callable[[Node, Request], Iterable[Answer] | None]

COMMANDS: Final[Mapping[str, Run]] = {
    "list_users": list_users,
    "add_user": add_user,
    "delete_user": delete_user,
    "change_password": change_password,
    "clear_password": clear_password,
    "authenticate_user": authenticate_user,
    "set_user_tags": set_user_tags,
    "list_user_limits": list_user_limits,
    "set_user_limits": set_user_limits,
    "clear_user_limits": clear_user_limits,
    "list_permissions": list_permissions,
    "list_user_permissions": list_user_permissions,
    "set_permissions": set_permissions,
    "clear_permissions": clear_permissions,
    "list_topic_permissions": list_topic_permissions,
    "list_user_topic_permissions": list_user_topic_permissions,
    "set_topic_permissions": set_topic_permissions,
    "clear_topic_permissions": clear_topic_permissions,
    "list_vhosts": list_vhosts,
    "add_vhost": add_vhost,
    "update_vhost_metadata": update_vhost_metadata,
    "delete_vhost": delete_vhost,
    "set_vhost_tags": set_vhost_tags,
    "list_vhost_limits": list_vhost_limits,
    "set_vhost_limits": set_vhost_limits,
    "clear_vhost_limits": clear_vhost_limits,
    "list_parameters": list_parameters,
    "set_parameter": set_parameter,
    "clear_parameter": clear_parameter,
    "list_global_parameters": list_global_parameters,
    "set_global_parameter": set_global_parameter,
    "clear_global_parameter": clear_global_parameter,
    "set_cluster_name": set_cluster_name,
    "export_definitions": export_definitions,
    "import_definitions": import_definitions,
    "list_policies": partial(list_policies, False),
    "set_policy": partial(set_policy, False),
    "clear_policy": partial(clear_policy, False),
    "list_operator_policies": partial(list_policies, True),
    "set_operator_policy": partial(set_policy, True),
    "clear_operator_policy": partial(clear_policy, True),
    "enable_vhost_deletion_protection": partial(set_protection, True),
    "disable_vhost_deletion_protection": partial(set_protection, False),
    "trace_on": partial(set_tracing, True),
    "trace_off": partial(set_tracing, False),
}
