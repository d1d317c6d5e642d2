"""Parameters and policies: settings with a component, a name and a JSON value (rules 8.1 to 8.7)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Final, cast

from amqp_broker.administration import shovels, upstreams
from amqp_broker.administration.errors import InvalidValueError, ParameterNotFoundError, validation_failed
from amqp_broker.administration.users import check_name
from amqp_broker.administration.vhosts import clear_vhost_limits, find_vhost, set_vhost_limits
from amqp_broker.auth.patterns import InvalidPatternError, Pattern
from amqp_broker.broker import Broker
from amqp_broker.events import INTERNAL_USER, EventKind
from amqp_broker.policies import ApplyTo, InvalidDefinitionError, check_definition
from amqp_broker.policies.settings import erlang, numbers_of
from amqp_broker.registry import CLUSTER_NAME, GLOBAL, OPERATOR_POLICY, POLICY, VHOST_LIMITS, Json
from amqp_codec import Table

log = logging.getLogger(__name__)

_CHECKS: Final[Mapping[str, Callable[[str, Json], None]]] = {
    shovels.COMPONENT: shovels.check_shovel,
    upstreams.UPSTREAM: upstreams.check_upstream,
    upstreams.UPSTREAM_SET: upstreams.check_upstream_set,
}
"""Components that may be set by name, and what looks at their values."""


def set_policy(
    broker: Broker,
    vhost: str,
    name: str,
    pattern: str,
    definition: Json,
    *,
    priority: Json = 0,
    apply_to: str = "all",
    is_operators: bool = False,
    by: str = INTERNAL_USER,
) -> bool:
    """Set a policy, or an operator policy; it applies at once to all there is (rule 8.6).

    Returns:
        Whether there was none of that name.

    Raises:
        VhostNotFoundError: there is none.
        InvalidValueError: with the text of RabbitMQ's validator.
    """
    component = OPERATOR_POLICY if is_operators else POLICY
    is_new = (vhost, component, name) not in broker.registry.parameters
    value: Json = {"pattern": pattern, "definition": definition, "priority": priority, "apply-to": apply_to}
    keep_policy(broker, vhost, component, name, value, by=by)
    broker.apply_parameters(vhost)
    return is_new


def keep_policy(
    broker: Broker,
    vhost: str,
    component: str,
    name: str,
    value: Json,
    *,
    is_imported: bool = False,
    by: str = INTERNAL_USER,
) -> None:
    """Set a policy of either kind that takes effect with the vhost's next `apply_parameters`.

    Args:
        broker: the broker.
        vhost: the vhost's name.
        component: `POLICY` or `OPERATOR_POLICY`.
        name: the policy's.
        value: an object with pattern, definition, priority and apply-to; the last two may be missing.
        is_imported: keys of plugins and numbers as text are taken.
        by: who does it.

    Raises:
        VhostNotFoundError: there is none.
        InvalidValueError: with the text of RabbitMQ's validator.
    """
    find_vhost(broker, vhost)
    check_name("policy", name)
    value = checked_policy(value, is_operators=component == OPERATOR_POLICY, is_imported=is_imported)
    broker.registry.set_parameter(vhost, component, name, value)
    broker.events.emit(
        EventKind.POLICY_SET, name=name, vhost=vhost, user_who_performed_action=by, **cast("Table", value)
    )


def clear_policy(broker: Broker, vhost: str, name: str, *, is_operators: bool = False, by: str = INTERNAL_USER) -> None:
    """Remove a policy.

    Raises:
        VhostNotFoundError, ParameterNotFoundError: there is none.
    """
    find_vhost(broker, vhost)
    component = OPERATOR_POLICY if is_operators else POLICY
    if (vhost, component, name) not in broker.registry.parameters:
        raise ParameterNotFoundError
    broker.registry.clear_parameter(vhost, component, name)
    broker.apply_parameters(vhost)
    broker.events.emit(EventKind.POLICY_CLEARED, name=name, vhost=vhost, user_who_performed_action=by)


def list_policies(broker: Broker, vhost: str | None = None, *, is_operators: bool = False) -> list[dict[str, Json]]:
    """The policies of all vhosts or of one, by vhost and name."""
    component = OPERATOR_POLICY if is_operators else POLICY
    found = [
        policy_item(where, name, value)
        for (where, its_component, name), value in broker.registry.parameters.items()
        if its_component == component and where is not GLOBAL and vhost in (None, where) and isinstance(value, dict)
    ]
    return sorted(found, key=lambda item: (str(item["vhost"]), str(item["name"])))


def policy_item(vhost: str, name: str, value: dict[str, Json]) -> dict[str, Json]:
    """A policy as definitions and the management API have it."""
    return {
        "vhost": vhost,
        "name": name,
        "pattern": value["pattern"],
        "apply-to": value["apply-to"],
        "definition": value["definition"],
        "priority": value["priority"],
    }


def checked_policy(value: Json, *, is_operators: bool, is_imported: bool = False) -> dict[str, Json]:
    """Read the value of a policy's parameter; what is missing has its default.

    Args:
        value: an object.
        is_operators: it is that of an operator policy.
        is_imported: keys of plugins and numbers as text are taken.

    Raises:
        InvalidValueError: with the text of RabbitMQ's validator.
    """
    if not isinstance(value, dict):
        raise validation_failed(f"policy should be a JSON object, actually was {erlang(value)}")
    pattern, definition = value.get("pattern"), value.get("definition")
    priority, apply_to = value.get("priority", 0), value.get("apply-to", "all")
    if is_imported:
        definition, priority = numbers_of(definition), numbers_of(priority)
    if not isinstance(pattern, str):
        raise validation_failed(f"pattern should be a string, actually was {erlang(pattern)}")
    if not isinstance(priority, int | float) or isinstance(priority, bool):
        raise validation_failed(f"priority should be a number, actually was {erlang(priority)}")
    if apply_to not in list(ApplyTo):
        words = ", ".join(f"'{each}'" for each in ApplyTo)
        raise validation_failed(f"apply-to '{apply_to}' unrecognised; should be one of: {words}")
    try:
        Pattern(pattern)
        check_definition(definition, is_operators=is_operators, is_imported=is_imported)
    except InvalidPatternError as error:
        raise validation_failed(f"pattern should be regular expression but is invalid: {error.reason}") from None
    except InvalidDefinitionError as error:
        raise validation_failed(str(error)) from None
    return {"pattern": pattern, "definition": definition, "priority": priority, "apply-to": apply_to}


def set_parameter(
    broker: Broker, vhost: str, component: str, name: str, value: Json, *, by: str = INTERNAL_USER
) -> bool:
    """Set a parameter of a vhost.

    Returns:
        Whether there was none of that name.

    Raises:
        VhostNotFoundError: there is none.
        InvalidValueError: an unknown component, or what the component refuses.
    """
    find_vhost(broker, vhost)
    check_name("parameter", name)
    is_new = (vhost, component, name) not in broker.registry.parameters
    if component == POLICY:
        raise InvalidValueError("policies may not be set using this method")
    if component == OPERATOR_POLICY:
        keep_policy(broker, vhost, component, name, value, by=by)
        broker.apply_parameters(vhost)
    elif component == VHOST_LIMITS:
        set_vhost_limits(broker, vhost, value, by=by)
    elif component in _CHECKS:
        _check_local_vhosts(broker, vhost, value, by)
        keep_parameter(broker, vhost, component, name, value, by=by)
    else:
        raise validation_failed(f"component {component} not found")
    return is_new


def keep_parameter(
    broker: Broker, vhost: str, component: str, name: str, value: Json, *, by: str = INTERNAL_USER
) -> None:
    """Set a parameter of links to other brokers, or of a component that nothing here goes by.

    Raises:
        VhostNotFoundError: there is none.
        InvalidValueError: no name, or what the component refuses.
    """
    find_vhost(broker, vhost)
    check_name("parameter", name)
    if component in _CHECKS:
        _CHECKS[component](name, value)
    else:
        log.warning("parameter %r of vhost %r is kept, but its component %r has no effect", name, vhost, component)
    broker.registry.set_parameter(vhost, component, name, value)
    broker.events.emit(
        EventKind.PARAMETER_SET, component=component, name=name, vhost=vhost, user_who_performed_action=by
    )


def _check_local_vhosts(broker: Broker, vhost: str, value: Json, user: str) -> None:
    """Let nobody set up a link into a vhost of this broker that he may not enter. Raises InvalidValueError."""
    person = broker.users.get(user)
    if person is None or not isinstance(value, dict):
        return
    for key in ("src-uri", "dest-uri", "uri"):
        for uri in shovels.uris_of(key, value[key]) if key in value else ():
            target = vhost if uri.vhost is None else uri.vhost
            if uri.host is None and target not in person.permissions:
                raise validation_failed(f'user "{user}" may not connect to vhost "{target}"')


def clear_parameter(broker: Broker, vhost: str, component: str, name: str, *, by: str = INTERNAL_USER) -> None:
    """Remove a parameter of a vhost.

    Raises:
        VhostNotFoundError, ParameterNotFoundError: there is none.
        InvalidValueError: it is a policy.
    """
    find_vhost(broker, vhost)
    if component == POLICY:
        raise InvalidValueError("policies may not be cleared using this method")
    if (vhost, component, name) not in broker.registry.parameters:
        raise ParameterNotFoundError
    if component == VHOST_LIMITS:
        clear_vhost_limits(broker, vhost, by=by)
    else:
        broker.registry.clear_parameter(vhost, component, name)
        broker.apply_parameters(vhost)
    broker.events.emit(
        EventKind.PARAMETER_CLEARED, component=component, name=name, vhost=vhost, user_who_performed_action=by
    )


def list_parameters(broker: Broker, vhost: str | None = None, component: str | None = None) -> list[dict[str, Json]]:
    """The parameters that aren't policies of users, of all vhosts or one, of all components or one."""
    return [
        {"vhost": where, "component": its_component, "name": name, "value": value}
        for (where, its_component, name), value in sorted(
            broker.registry.parameters.items(), key=lambda item: (item[0][0] or "", *item[0][1:])
        )
        if where is not GLOBAL and its_component != POLICY
        if vhost in (None, where) and component in (None, its_component)
    ]


def set_global_parameter(broker: Broker, name: str, value: Json, *, by: str = INTERNAL_USER) -> bool:
    """Set a parameter of the whole broker; `cluster_name` is what clients are told from now on.

    Returns:
        Whether there was none of that name.

    Raises:
        InvalidValueError: no name, or a cluster name that is no text.
    """
    check_name("parameter", name)
    if name == CLUSTER_NAME and not isinstance(value, str):
        raise validation_failed(f"cluster_name should be a string, actually was {erlang(value)}")
    is_new = (GLOBAL, "", name) not in broker.registry.parameters
    broker.registry.set_parameter(GLOBAL, "", name, value)
    broker.events.emit(EventKind.PARAMETER_SET, name=name, user_who_performed_action=by)
    return is_new


def clear_global_parameter(broker: Broker, name: str, *, by: str = INTERNAL_USER) -> None:
    """Remove a parameter of the whole broker. Raises ParameterNotFoundError."""
    if (GLOBAL, "", name) not in broker.registry.parameters or name.startswith("internal"):
        raise ParameterNotFoundError
    broker.registry.clear_parameter(GLOBAL, "", name)
    broker.events.emit(EventKind.PARAMETER_CLEARED, name=name, user_who_performed_action=by)


def list_global_parameters(broker: Broker) -> list[dict[str, Json]]:
    return [{"name": name, "value": value} for name, value in sorted(broker.registry.parameters_of(GLOBAL, "").items())]
