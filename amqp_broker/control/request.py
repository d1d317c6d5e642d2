"""One command as it is asked, and what it answers with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import attrs

from amqp_broker.administration.left import Left

Answer: TypeAlias = "dict[str, Any] | str | Left | None"
"""A row of a list or a line of text; None where there is nothing to tell yet, and others may have their turn.

What is left for other nodes to do is to be done before the next answer is asked for.
"""


@attrs.frozen(kw_only=True)
class Request:
    """What is asked.

    Attributes:
        options: by long name without dashes; True for one without a value.
        columns: of a list.
        node: the one that is meant; empty where nobody says.
        content: what came with the request.
    """

    vhost: str = "/"
    arguments: Sequence[object] = ()
    options: dict[str, object] = attrs.Factory(dict)
    columns: Sequence[str] = ()
    node: str = ""
    content: bytes = attrs.field(default=b"", repr=False)

    def text(self, index: int) -> str:
        """An argument, empty where there is none."""
        return str(self.arguments[index]) if index < len(self.arguments) else ""
