"""Definitions from files or a web server, taken over when the broker starts."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import attrs

from amqp_broker.administration.fields import InvalidDefinitionsError
from amqp_broker.administration.importing import import_definitions
from amqp_broker.administration.left import Left
from amqp_broker.administration.reading import read_document
from amqp_broker.broker import Broker
from amqp_broker.config import HttpsDefinitions
from amqp_broker.registry import GLOBAL

log = logging.getLogger(__name__)

CHECKSUM: Final = "internal_definitions_checksum"
"""The global parameter with the checksum of what was imported last by somebody who asked to skip the same."""


MAX_FETCHED_OCTETS: Final = 1 << 30
FETCH_TIMEOUT_S: Final = 30.0
"""To reach a web server, and for each part of its answer."""


@attrs.frozen
class Unfinished:
    """Definitions that have been loaded but for what is in vhosts of other nodes.

    Attributes:
        left: that, by file.
        contents: of the files, for `remember`; None where nobody wants to skip them the next time.
    """

    left: Sequence[Left]
    contents: Sequence[bytes] | None


def load_definitions(
    broker: Broker, source: Path | HttpsDefinitions, *, skips_unchanged: bool = False
) -> Unfinished | None:
    """Import a file, or all `*.json` of a directory in the order of their names, or what a web server has.

    Args:
        broker: the broker.
        source: the file or directory, or the server, which is waited for.
        skips_unchanged: nothing is done when the files are those that were imported the last time.

    Returns:
        What somebody has to see to; None when all is done, as it always is without a cluster.

    Raises:
        InvalidDefinitionsError: one can't be read or imported, the ones before it have been; the text names the file.
    """
    files: list[Path | HttpsDefinitions] = [source]
    if isinstance(source, Path) and source.is_dir():
        files = [*sorted(source.glob("*.json"))]
    contents = [_contents(file) if isinstance(file, Path) else _fetched(file) for file in files]
    if skips_unchanged and is_unchanged(broker, contents):
        log.info("definitions in %s are those imported before", source)
        return None
    left: list[Left] = []
    for file, content in zip(files, contents, strict=True):
        try:
            rest = import_definitions(broker, read_document(content))
        except InvalidDefinitionsError as error:
            raise InvalidDefinitionsError(f"{file}: {error.path}", error.reason) from None
        log.info("definitions imported from %s", file)
        left += [] if rest is None else [rest]
    if skips_unchanged and not left:
        remember(broker, contents)
    if not any(broker.users):
        log.warning("there is no user, and with load_definitions none is made: nobody can log in")
    if not broker.vhosts:
        log.warning("there is no vhost, and with load_definitions none is made: nothing can be opened")
    return Unfinished(left, contents if skips_unchanged else None) if left else None


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


def _fetched(source: HttpsDefinitions) -> bytes:
    """Wait for what a web server has. Follows redirections, unless they leave HTTPS."""
    import ssl  # only where somebody has such a server
    from http.client import HTTPException
    from urllib import request
    from urllib.error import HTTPError

    try:
        context = ssl.create_default_context(cafile=None if source.ca is None else str(source.ca))
    except (OSError, ssl.SSLError) as error:
        raise InvalidDefinitionsError(str(source), f"no certificates in PEM form in {source.ca} ({error})") from None
    if not source.verify_peer:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    opener = request.OpenerDirector()
    for handler in (
        request.HTTPSHandler(context=context),
        request.HTTPRedirectHandler(),
        request.HTTPDefaultErrorHandler(),
        request.HTTPErrorProcessor(),
        request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    try:
        with opener.open(source.url, timeout=FETCH_TIMEOUT_S) as answer:
            content: bytes = answer.read(MAX_FETCHED_OCTETS + 1)
    except HTTPError as error:
        raise InvalidDefinitionsError(str(source), f"the server answers {error.code}") from None
    except (OSError, HTTPException, ValueError) as error:
        raise InvalidDefinitionsError(str(source), f"no answer: {error}") from None
    if len(content) > MAX_FETCHED_OCTETS:
        raise InvalidDefinitionsError(str(source), f"longer than {MAX_FETCHED_OCTETS} octets")
    return content
