"""Definitions from files, taken over when the broker starts."""

from __future__ import annotations

import logging
from pathlib import Path

from amqp_broker.administration.fields import InvalidDefinitionsError
from amqp_broker.administration.importing import import_definitions, read_document
from amqp_broker.broker import Broker

log = logging.getLogger(__name__)


def load_definitions(broker: Broker, path: Path) -> None:
    """Import a file, or all `*.json` of a directory in the order of their names.

    Raises:
        InvalidDefinitionsError: one can't be read or imported, the ones before it have been; the text names the file.
    """
    files = sorted(path.glob("*.json")) if path.is_dir() else [path]
    for file in files:
        try:
            import_definitions(broker, read_document(file.read_bytes()))
        except InvalidDefinitionsError as error:
            raise InvalidDefinitionsError(f"{file}: {error.path}", error.reason) from None
        except OSError as error:
            raise InvalidDefinitionsError(str(file), error.strerror or str(error)) from None
        log.info("definitions imported from %s", file)
    if not any(broker.users):
        log.warning("there is no user, and with load_definitions none is made: nobody can log in")
    if not broker.vhosts:
        log.warning("there is no vhost, and with load_definitions none is made: nothing can be opened")
