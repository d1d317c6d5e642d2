"""Regular expressions from users: permissions, policies, filters. Searched in names, and never for long.

The engine is `regex`, whose syntax is close to that of the PCRE that RabbitMQ uses, and which can be given a time
limit; decision record 0010 says why. The patterns that nearly everybody uses need no engine, and it is
not imported before one does.
"""

from __future__ import annotations

import logging
import re
from math import prod
from typing import Final

TYPE_CHECKING = False
if TYPE_CHECKING:
    import regex

log = logging.getLogger(__name__)

MAX_PATTERN_LETTERS: Final = 4096

MAX_REPEATS: Final = 10_000
"""What the counts of all `{n}` in a pattern may come to, multiplied: to compile them takes time and memory for each."""

MAX_SEARCH_S: Final = 0.02
"""Processor time that one search may take; an innocent one takes microseconds."""

MAX_EXHAUSTED: Final = 50
"""After so many searches without an end in time a pattern is given up: all it can cost is a second."""

_EVERYTHING: Final = frozenset({".*", "^.*", "^.*$", ".*$", "^"})
"""What is found in every name, if only as nothing at its beginning."""

_NOTHING: Final = "^$"


class InvalidPatternError(ValueError):
    """A text that is no regular expression.

    Attributes:
        pattern: the text.
        reason: what is wrong with it, and where.
    """

    def __init__(self, pattern: str, reason: str) -> None:
        super().__init__(f"invalid regular expression '{pattern}': {reason}")
        self.pattern = pattern
        self.reason = reason


class Pattern:
    """A regular expression.

    Args:
        patience: after so many searches without an end in time it is given up.
        search_s: processor time that one search may take.
        ignores_case: capital letters are found by small ones, and small ones by capital ones.

    Attributes:
        text: as it was given.

    Raises:
        InvalidPatternError: it isn't one.
    """

    __slots__ = ("_compiled", "_exhausted", "_patience", "_search_s", "text")

    def __init__(
        self,
        text: str,
        patience: int = MAX_EXHAUSTED,
        *,
        search_s: float = MAX_SEARCH_S,
        ignores_case: bool = False,
    ) -> None:
        self.text = text
        self._patience = patience
        self._search_s = search_s
        self._exhausted = 0
        self._compiled = None if text in _EVERYTHING or text == _NOTHING else _compile(text, ignores_case)

    @property
    def is_given_up(self) -> bool:
        """Nothing is searched any more, and so nothing found."""
        return self._exhausted >= self._patience

    def search(self, name: str) -> bool:
        """Whether it is found anywhere in a name. A search that takes too long has found nothing."""
        if self._compiled is None:
            return self.text != _NOTHING or name in ("", "\n")
        if self.is_given_up:
            return False
        try:
            return self._compiled.search(name, timeout=self._search_s) is not None
        except TimeoutError:
            self._exhausted += 1
            given_up = ", it is given up and matches nothing from now on" if self.is_given_up else ""
            log.warning("the pattern %r took too long for %r and counts as not found%s", self.text, name, given_up)
            return False


def _compile(text: str, ignores_case: bool) -> regex.Pattern[str]:
    import regex

    if len(text) > MAX_PATTERN_LETTERS:
        raise InvalidPatternError(text[:40] + "...", f"longer than {MAX_PATTERN_LETTERS} characters")
    if prod(max(int(count), 1) for count in re.findall(r"\{\s*([0-9]{1,18})", text)) > MAX_REPEATS:
        raise InvalidPatternError(text, "too many repeats")
    try:
        return regex.compile(text, regex.IGNORECASE if ignores_case else 0, cache_pattern=False)
    except regex.error as error:
        raise InvalidPatternError(text, str(error)) from None
    except (RecursionError, OverflowError, MemoryError):
        raise InvalidPatternError(text, "too complex") from None
