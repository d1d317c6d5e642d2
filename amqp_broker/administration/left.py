"""What an import leaves to others: loaded where definitions are not, as it is known to whoever answers commands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs


@attrs.frozen
class Left:
    """What of definitions is for other nodes to import.

    Attributes:
        documents: by vhost; each is definitions in itself, of what is in that vhost.
        by: who does it.
        is_rehearsal: they are only to say whether they can import it; nothing has been changed yet.
    """

    documents: Mapping[str, dict[str, Any]]
    by: str
    is_rehearsal: bool = False
