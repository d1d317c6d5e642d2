"""Which names a listing's `name` parameter fits: a part of a name, or a pattern."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from amqp_broker.auth.patterns import InvalidPatternError, Pattern
from amqp_broker.management.errors import bad_request
from amqp_broker.management.listing import Page

PATIENCE: Final = 3
"""How many searches of a listing may run out of time, each of which holds up everybody."""

SEARCH_S: Final = 0.004
"""How long each may take."""


def name_matcher(page: Page) -> Callable[[str], bool]:
    """Make the test of a name, which looks at no case. Raises ApiError 400 for what is no pattern, so does the test."""
    if not page.use_regex:
        part = page.name.casefold()
        return lambda name: part in name.casefold()
    try:
        pattern = Pattern(page.name, PATIENCE, search_s=SEARCH_S, ignores_case=True)
    except InvalidPatternError as error:
        raise bad_request(str(error)) from None

    def fits(name: str) -> bool:
        found = pattern.search(name)
        if pattern.is_given_up:
            raise bad_request("name is a regular expression that takes too long")
        return found

    return fits
