"""Definitions from files, taken over when the broker starts."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from amqp_broker.administration.fields import InvalidDefinitionsError
from amqp_broker.administration.importing import import_definitions
from amqp_broker.administration.reading import read_document
from amqp_broker.broker import Broker
from amqp_broker.registry import GLOBAL

log = logging.getLogger(__name__)

CHECKSUM: Final = "internal_definitions_checksum"
"""The global parameter with the checksum of what was imported last by somebody who asked to skip the same."""


def load_definitions(broker: Broker, path: Path, *, skips_unchanged: bool = False) -> None:
    """Import a file, or all `*.json` of a directory in the order of their names.

    Args:
        broker: the broker.
        path: the file or directory.
        skips_unchanged: nothing is done when the files are those that were imported the last time.

    Raises:
        InvalidDefinitionsError: one can't be read or imported, the ones before it have been; the text names the file.
    """
    files = sorted(path.glob("*.json")) if path.is_dir() else [path]
    contents = [_contents(file) for file in files]
    if skips_unchanged and is_unchanged(broker, contents):
        log.info("definitions in %s are those imported before", path)
        return
    for file, content in zip(files, contents, strict=True):
        try:
            import_definitions(broker, read_document(content))
        except InvalidDefinitionsError as error:
            raise InvalidDefinitionsError(f"{file}: {error.path}", error.reason) from None
        log.info("definitions imported from %s", file)
    if skips_unchanged:
        remember(broker, contents)
    if not any(broker.users):
        log.warning("there is no user, and with load_definitions none is made: nobody can log in")
    if not broker.vhosts:
        log.warning("there is no vhost, and with load_definitions none is made: nothing can be opened")


def is_unchanged(broker: Broker, contents: Iterable[bytes]) -> bool:
    """Whether these files are those that `remember` was told of last."""
    return broker.registry.parameters.get((GLOBAL, "", CHECKSUM)) == _checksum(contents)


def remember(broker: Broker, contents: Iterable[bytes]) -> None:
    """These files have been imported."""
    broker.registry.set_parameter(GLOBAL, "", CHECKSUM, _checksum(contents))


def _checksum(contents: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for content in contents:
        digest.update(b"%d:" % len(content))
        digest.update(content)
    return digest.hexdigest()


def _contents(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise InvalidDefinitionsError(str(file), error.strerror or str(error)) from None
