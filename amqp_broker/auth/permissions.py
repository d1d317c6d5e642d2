"""What a user may do in a vhost: three patterns, for configure, write and read (rules 8.10 to 8.14)."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

from amqp_broker.auth.patterns import Pattern
from amqp_broker.errors import AMQPError, access_refused, entity


class Access(StrEnum):
    """The three kinds of access, as error texts spell them."""

    CONFIGURE = "configure"
    WRITE = "write"
    READ = "read"


class Permissions:
    """Patterns that are searched in the name of a resource; an empty one matches nothing.

    Attributes:
        texts: the patterns as they were given: configure, write, read.

    Raises:
        InvalidPatternError: one of them is no regular expression.
    """

    def __init__(self, configure: str, write: str, read: str) -> None:
        self.texts: Final = (configure, write, read)
        self._patterns = {access: _pattern(text) for access, text in zip(Access, self.texts, strict=True)}

    def allow(self, access: Access, name: str) -> bool:
        """Whether a resource of that name may be accessed; the default exchange is called `amq.default`."""
        return self._patterns[access].search(name)


class TopicPermissions:
    """Patterns for routing keys at one exchange of type topic (rule 8.14).

    Attributes:
        texts: the patterns as they were given, with their variables: write, read.

    Raises:
        InvalidPatternError: one of them is no regular expression.
    """

    def __init__(self, write: str, read: str, *, user: str, vhost: str) -> None:
        self.texts: Final = (write, read)
        variables = {"{username}": re.escape(user), "{vhost}": re.escape(vhost)}
        self._patterns = {
            access: _pattern(_expand(text, variables))
            for access, text in zip((Access.WRITE, Access.READ), self.texts, strict=True)
        }

    def allow(self, access: Access, routing_key: str) -> bool:
        """Whether a key may be published (write) or bound (read) with."""
        return self._patterns[access].search(routing_key)


def _pattern(text: str) -> Pattern:
    return Pattern(text or "^$")


def _expand(text: str, variables: dict[str, str]) -> str:
    for variable, value in variables.items():
        text = text.replace(variable, value)
    return text


ALL = Permissions(".*", ".*", ".*")


def refusal(access: Access, kind: str, name: str, vhost: str, user: str) -> AMQPError:
    """The error of rule 8.11."""
    return access_refused(f"{access} access to {entity(kind, name, vhost)} refused for user '{user}'")


def topic_refusal(access: Access, routing_key: str, exchange: str, vhost: str, user: str) -> AMQPError:
    """The error of rule 8.14."""
    return access_refused(
        f"{access} access to topic '{routing_key}' in {entity('exchange', exchange, vhost)} refused for user '{user}'"
    )
