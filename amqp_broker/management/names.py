"""Which names a listing's `name` parameter fits: a part of a name, or a pattern."""

from __future__ import annotations

from collections.abc import Callable

from amqp_broker.auth.patterns import InvalidPatternError, Pattern
from amqp_broker.management.errors import bad_request
from amqp_broker.management.listing import Page


def name_matcher(page: Page) -> Callable[[str], bool]:
    """Make the test of a name, which looks at no case. Raises ApiError 400 for what is no pattern."""
    if not page.use_regex:
        part = page.name.casefold()
        return lambda name: part in name.casefold()
    try:
        pattern = Pattern(f"(?i){page.name}")
    except InvalidPatternError as error:
        raise bad_request(str(error)) from None
    return pattern.search
