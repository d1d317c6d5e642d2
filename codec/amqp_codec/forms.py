"""Compiled or plain Python: which form of a package is imported, decided once and for the whole of it.

`hatch_build.py` compiles modules in place and writes down, in `MANIFEST` beside them, the Python they are for
and a checksum of every source. Extensions are used only if all of that still holds; otherwise Python is made
to see nothing but the sources. So an edited source is never hidden behind an extension made of an older one,
and classes of the two forms, which don't fit together, never meet.
"""

import os
import sys
from collections.abc import Iterable
from importlib.machinery import (
    BYTECODE_SUFFIXES,
    EXTENSION_SUFFIXES,
    SOURCE_SUFFIXES,
    FileFinder,
    SourceFileLoader,
    SourcelessFileLoader,
)
from pathlib import Path
from typing import Final
from zlib import crc32

MANIFEST: Final = "_compiled.txt"

PURE_VARIABLE: Final = "AMQP_PURE_PYTHON"
"""Set to anything, it makes the import choose the sources."""


_compiled: Final[set[Path]] = set()
"""The packages whose compiled form was chosen."""


def choose_form(package: Path, below: Path | None = None) -> bool:
    """Decide for a package, before any module of it is imported; True when it will be the compiled form.

    Args:
        package: its folder.
        below: the folder of the package whose extension types it was compiled against.
    """
    if not os.environ.get(PURE_VARIABLE) and (below is None or below in _compiled):
        reason = why_not_compiled(package, below)
        if reason is None:
            _compiled.add(package)
            return True
        if reason:
            print(f"{package.name}: running as plain Python, since {reason}", file=sys.stderr)
    _see_sources_only(package)
    return False


def why_not_compiled(package: Path, below: Path | None = None) -> str | None:
    """None if the extensions fit; empty if there are none for this Python, else what is wrong with them."""
    try:
        suffix, foundation, *lines = (package / MANIFEST).read_text("utf-8").splitlines()
    except (OSError, ValueError):
        return ""
    if suffix not in EXTENSION_SUFFIXES:
        return ""
    if foundation != _foundation(below):
        return f"it was compiled against another {below and below.name}"
    for line in lines:
        checksum, name = line.split(" ", 1)
        try:
            now = checksum_of(package / name)
        except OSError:
            return f"{name} is missing"
        if now != checksum:
            return f"{name} has changed after it was compiled"
    return None


def checksum_of(file: Path) -> str:
    """A source's checksum, however its lines end; for an extension, which only has to be there, a dash."""
    if file.suffix not in (".py", ".pxd", ".pyx"):
        file.stat()
        return "-"
    text = file.read_bytes().replace(b"\r\n", b"\n")
    return f"{crc32(text):08x}"


def write_manifest(package: Path, below: Path | None, suffix: str, files: Iterable[Path]) -> None:
    """Vouch for the extensions: `files` are the sources they depend on, and they themselves."""
    names = sorted(file.relative_to(package).as_posix() for file in files)
    lines = [suffix, _foundation(below), *(f"{checksum_of(package / name)} {name}" for name in names)]
    (package / MANIFEST).write_text("\n".join(lines) + "\n", "utf-8")


def _foundation(below: Path | None) -> str:
    return "-" if below is None else f"{crc32((below / MANIFEST).read_bytes()):08x}"


def _see_sources_only(package: Path) -> None:
    loaders = [(SourceFileLoader, SOURCE_SUFFIXES), (SourcelessFileLoader, BYTECODE_SUFFIXES)]
    folders = [package, *(child for child in package.rglob("*") if child.is_dir())] if package.is_dir() else []
    for folder in folders:
        sys.path_importer_cache[str(folder)] = FileFinder(str(folder), *loaders)
