"""Commands that other nodes of the cluster carry out, in the form of the control socket."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from typing import Any, Final

import trio

from amqp_broker.administration.errors import AdministrationError, VhostNowhereError
from amqp_broker.administration.fields import InvalidDefinitionsError
from amqp_broker.administration.importing import importing_definitions, rehearsing_definitions
from amqp_broker.administration.left import Left
from amqp_broker.administration.loading import Unfinished, remember
from amqp_broker.control.errors import EXIT_DATA, ControlError
from amqp_broker.inspection.cluster import Cluster
from amqp_broker.inspection.node import Node
from amqp_broker.net.control import SILENCE_S, SUBJECT
from amqp_broker.net.turns import in_turns, until_stored

log = logging.getLogger(__name__)

PIECE_OCTETS: Final = 256 << 10
"""What is sent of a question in one go, and has to be taken before silence is complained of."""
OWNER_S: Final = 60.0
"""How long to look for the owner of a vhost that definitions are about; one that is new has none for a second or so."""
AGAIN_S: Final = 0.2

Hear = Callable[[Sequence[bytes]], Awaitable[None]]
"""Is told lines of an answer, without their ends; none where it is only a sign of life."""


async def ask(cluster: Cluster, node: str, request: bytes, hear: Hear) -> None:
    """Have another node carry out a command, as a line of JSON and what comes with it.

    Raises:
        ControlError: it says no.
        OSError: it can't be asked, or breaks off.
    """
    try:
        async with await cluster.visit(node, SUBJECT) as stream:
            for start in range(0, len(request), PIECE_OCTETS):
                with trio.fail_after(SILENCE_S):
                    await stream.send_all(request[start : start + PIECE_OCTETS])
            begun = b""
            while True:
                with trio.fail_after(SILENCE_S):
                    data = await stream.receive_some()
                if not data:
                    raise OSError("it breaks off in the middle of its answer")
                *all_lines, begun = (begun + data).split(b"\n")
                lines = [line for line in all_lines if line]
                if lines and lines[-1].startswith(b'{"exit"'):
                    await hear(lines[:-1])
                    end = json.loads(lines[-1])
                    if end["exit"]:
                        raise ControlError(end["error"], end["exit"], is_bare=True)
                    return
                await hear(lines)
    except trio.TooSlowError:
        raise TimeoutError(f"it says nothing for {SILENCE_S:g} s") from None
    except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
        raise OSError(str(error)) from None


def request_of(command: str, options: Mapping[str, object], content: bytes) -> bytes:
    """A request with what comes with it."""
    fields: dict[str, Any] = {"command": command, "options": options, "content_octets": len(content)}
    return json.dumps(fields).encode() + b"\n" + content


async def deliver(node: Node, left: Left) -> None:
    """Have what definitions say of vhosts that are not here imported, or rehearsed, by those that have these vhosts.

    Raises:
        InvalidDefinitionsError: one of them refuses it.
        VhostNowhereError: one is nowhere.
    """
    await until_stored(node.broker, node.broker.stored_count)  # users, vhosts and policies: owners have to know them
    for vhost, document in left.documents.items():
        await _deliver(node, vhost, document, left)


async def finish_loading(node: Node, loading: Unfinished) -> None:
    """Have other nodes load what is theirs; or say in the log that it failed: the next start tries again."""
    try:
        for left in loading.left:
            await deliver(node, left)
    except AdministrationError as error:
        log.error("definitions: not all could be loaded: %s", error)
    else:
        if loading.contents is not None:
            remember(node.broker, loading.contents)


async def _deliver(node: Node, vhost: str, document: dict[str, Any], left: Left) -> None:
    """Have one of these documents seen to by whoever has its vhost, which may move meanwhile."""
    assert node.cluster is not None
    options = {"by": left.by, **({"rehearse": True} if left.is_rehearsal else {})}
    ends_at = trio.current_time() + OWNER_S

    async def hear(_lines: Sequence[bytes]) -> None:
        nonlocal ends_at
        ends_at = trio.current_time() + OWNER_S

    while True:
        try:
            with trio.fail_at(ends_at):
                owner = await node.cluster.wait_owner(vhost)
        except trio.TooSlowError:
            raise VhostNowhereError(vhost) from None
        if owner == node.name:
            rest = await in_turns(_here(node, document, left))
            if rest is None:
                return
            document = rest.documents[vhost]
            continue
        try:
            content = json.dumps(document).encode("utf-8", "surrogateescape")
            await ask(node.cluster, owner, request_of("import_definitions", options, content), hear)
            return
        except ControlError as error:
            if error.status == EXIT_DATA:
                raise InvalidDefinitionsError(f"vhost '{vhost}'", error.text.removeprefix("Error:\n")) from None
            log.debug("vhost %r: node %s: %s", vhost, owner, error)
        except OSError as error:
            log.debug("vhost %r: node %s: %s", vhost, owner, error)
        await trio.sleep(AGAIN_S)


def _here(node: Node, document: dict[str, Any], left: Left) -> Generator[Left | None, None, Left | None]:
    """Do it here, to where the vhost has come. Raises InvalidDefinitionsError."""
    if left.is_rehearsal:
        yield from rehearsing_definitions(node.broker, document, by=left.by)
        return None
    return (yield from importing_definitions(node.broker, document, by=left.by))
