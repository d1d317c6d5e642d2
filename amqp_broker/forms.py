"""Compiled or plain Python: decided for this package when the first module is imported to which it matters.

To decide, `amqp_codec` is needed, and it takes longer to import than all of the control command does. So `import
amqp_broker` leaves it open, and what stands in `LIGHT` can be imported without; see `amqp_codec.forms` for the rest.
"""

import sys
from collections.abc import Sequence
from functools import cache
from importlib.machinery import (
    BYTECODE_SUFFIXES,
    SOURCE_SUFFIXES,
    FileFinder,
    ModuleSpec,
    PathFinder,
    SourceFileLoader,
    SourcelessFileLoader,
)
from pathlib import Path
from types import ModuleType
from typing import Final

LIGHT: Final = ("amqp_broker.ctl",)
"""What has no compiled form, and imports nothing that has."""


@cache
def is_compiled() -> bool:
    """Decide, and from then on tell, whether this package is in its compiled form."""
    import amqp_codec
    from amqp_codec.forms import choose_form

    return choose_form(Path(__file__).parent, below=Path(amqp_codec.__path__[0]))


class _Undecided(FileFinder):
    """Finds sources; before it finds any that might be compiled, it has that decided, and if so gives way."""

    def find_spec(self, fullname: str, target: ModuleType | None = None) -> ModuleSpec | None:
        if fullname in LIGHT or not is_compiled():
            return super().find_spec(fullname, target)
        sys.path_importer_cache.pop(self.path, None)  # so that Python makes its own
        return PathFinder.find_spec(fullname, [self.path], target)


def leave_open(folders: Sequence[str]) -> None:
    """Leave it open which form the package in these folders has; before any other module of it is imported."""
    loaders = [(SourceFileLoader, SOURCE_SUFFIXES), (SourcelessFileLoader, BYTECODE_SUFFIXES)]
    for folder in folders:
        sys.path_importer_cache[folder] = _Undecided(folder, *loaders)
