"""What all commands have in common: exit statuses, and errors of usage in one line."""

from __future__ import annotations

import argparse
from typing import Final, Never

EXIT_OK: Final = 0
EXIT_DAMAGED: Final = 1
"""What was looked at is not as it should be."""
EXIT_USAGE: Final = 2
"""Something the user can mend: an option, a port, a directory."""


class UsageError(Exception):
    """One sentence that tells the user what to do."""


class OneLineParser(argparse.ArgumentParser):
    """An ArgumentParser that says what is wrong in one line."""

    def error(self, message: str) -> Never:
        raise UsageError(f"{message}; see {self.prog} --help")
