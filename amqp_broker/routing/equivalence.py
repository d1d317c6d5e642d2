"""When a declare asks for what is there already: properties and arguments compared, and the texts.

Serves exchanges and queues alike. Source: rules 3.8 to 3.10.
"""

from amqp_broker.errors import precondition_failed
from amqp_broker.routing.values import canonical
from amqp_codec import Value, field_type_name


def as_text(value: Value) -> str:
    """Read a longstr as text; any other value as it prints."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    return str(value)


def check_equivalent_argument(key: str, current: Value, received: Value, where: str) -> None:
    """Compare one argument, by class and value (rule 3.10); None stands for absent."""
    if canonical(current) != canonical(received):
        both = current is not None and received is not None
        raise precondition_failed(
            f"inequivalent arg '{key}' for {where}: received {_shown(received, both)} "
            f"but current is {_shown(current, both)}"
        )


def check_equivalent_flag(key: str, current: object, received: object, where: str) -> None:
    """Compare a property of the declare itself; flags are spelled as Erlang spells them."""
    if current != received:
        raise precondition_failed(
            f"inequivalent arg '{key}' for {where}: received '{_word(received)}' but current is '{_word(current)}'"
        )


def _shown(value: Value, bare: bool) -> str:
    if value is None:
        return "none"
    text = _word(as_text(value) if isinstance(value, bytes) else value)
    return f"'{text}'" if bare else f"the value '{text}' of type '{field_type_name(value)}'"


def _word(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
