"""The settings that a broker runs with."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from amqp_broker.config import Config


def setting_lines(config: Config) -> Iterator[str]:
    """All settings but secrets, in the form of an Erlang term."""
    yield "[{rabbit,"
    for field in attrs.fields(Config):
        if field.repr:
            yield f"  {{{field.name},{getattr(config, field.name)!s}}}"
    yield "}]."
