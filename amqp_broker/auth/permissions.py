"""What a user may do in a vhost: three patterns, for configure, write and read (rules 8.10 to 8.12)."""

from __future__ import annotations

import re
from enum import StrEnum

from amqp_broker.errors import AMQPError, access_refused, entity


class Access(StrEnum):
    """The three kinds of access, as error texts spell them."""

    CONFIGURE = "configure"
    WRITE = "write"
    READ = "read"


class Permissions:
    """Patterns that are searched in the name of a resource; an empty one matches nothing."""

    def __init__(self, configure: str, write: str, read: str) -> None:
        self._patterns = {
            access: re.compile(pattern or r"\A\Z")
            for access, pattern in zip(Access, (configure, write, read), strict=True)
        }

    def allow(self, access: Access, name: str) -> bool:
        """Whether a resource of that name may be accessed; the default exchange is called `amq.default`."""
        return self._patterns[access].search(name) is not None


ALL = Permissions(".*", ".*", ".*")


def refusal(access: Access, kind: str, name: str, vhost: str, user: str) -> AMQPError:
    """The error of rule 8.11."""
    return access_refused(f"{access} access to {entity(kind, name, vhost)} refused for user '{user}'")


def topic_refusal(access: Access, routing_key: str, exchange: str, vhost: str, user: str) -> AMQPError:
    """The error of rule 8.14."""
    return access_refused(
        f"{access} access to topic '{routing_key}' in {entity('exchange', exchange, vhost)} refused for user '{user}'"
    )
