"""Definitions, read: those of this broker, of RabbitMQ from 3.6 on, and of LavinMQ.

All of a file or nothing: everything is done once on a copy of what it names, in a broker without clients, messages
and storage; only if that raises nothing is it done again where it counts. What is in the file is added to what is
there: users, permissions, policies and parameters are replaced, queues, exchanges and bindings that are there stay.

A large file is taken over in steps, between which clients are served. They see it grow; and what one of them deletes
meanwhile is deleted, as if it had been a moment later.

In a cluster all nodes know users, vhosts and policies; what is in a vhost that another node has is `Left` to that one,
first to be rehearsed there, then to be imported.
"""

from __future__ import annotations

import json
import logging
import re
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping
from typing import Final, TypeAlias

from amqp_broker.administration import parameters, permissions, users, vhosts
from amqp_broker.administration.errors import AdministrationError
from amqp_broker.administration.fields import Fields, InvalidDefinitionsError, as_object
from amqp_broker.administration.left import Left
from amqp_broker.administration.turns import run_through
from amqp_broker.auth.passwords import HashAlgorithm, InvalidHashError, PasswordHash
from amqp_broker.auth.users import User
from amqp_broker.broker import Broker
from amqp_broker.errors import AMQPError
from amqp_broker.events import INTERNAL_USER
from amqp_broker.queues.queue import Queue
from amqp_broker.registry import OPERATOR_POLICY, POLICY, VHOST_LIMITS, Json, limit_of
from amqp_broker.routing.exchange import DEFAULT_EXCHANGE, Exchange
from amqp_broker.storage.interface import MemoryStorage
from amqp_broker.vhost import Vhost

log = logging.getLogger(__name__)

_EXCHANGE_TYPES: Final = {"x-delayed-exchange": "x-delayed-message"}
"""Names that others have for types of ours."""

_FIRST_SALTED: Final = (3, 6)
"""Before this version a hash whose algorithm isn't named is MD5."""


class _Import:
    """One file on its way into brokers."""

    def __init__(self, document: Fields, vhost: str | None, by: str) -> None:
        self._document = document
        self._by = by
        self._vhost = vhost
        """Where items go that name no vhost."""
        self._left_out: set[str] = set()
        """Bindings of which that has been said."""
        self.left: dict[str, dict[str, Json]] = {}
        self._unseen: dict[str, dict[str, Json]] = {}
        self._assumed = HashAlgorithm.MD5 if _is_older(document, _FIRST_SALTED) else HashAlgorithm.SHA256

    def rehearse(self, broker: Broker) -> Iterator[None]:
        """Do all the file says on a copy of what it names.

        Raises:
            InvalidDefinitionsError: something can't be done.
        """
        copy = _Copy(broker)
        if self._vhost is not None:
            copy.bring_vhost(self._vhost)
            self._describe_vhost(copy.broker, self._vhost, self._document)
        for section, item in self._items():
            _check_text(item)
            if section in _REHEARSED_ELSEWHERE:
                self._note_unseen(broker, section, item)
            if section != "bindings" or not self._is_elsewhere(broker, self._vhost_of(item)):  # else its ends may be
                copy.bring(section, item, self._vhost)
                self._take(copy.broker, section, item)
            yield

    @property
    def unseen(self) -> dict[str, dict[str, Json]]:
        """By vhost, what has to be rehearsed where that is: there is something in it already."""
        return {vhost: items for vhost, items in self._unseen.items() if any(map(items.get, _CONTENTS))}

    def _note_unseen(self, broker: Broker, section: str, item: Fields) -> None:
        vhost = item.text("name") if section == "vhosts" else self._vhost_of(item)
        if self._is_elsewhere(broker, vhost) and (section != "parameters" or item.text("component") == VHOST_LIMITS):
            _add_to(self._unseen, vhost, section, item.value if section == "vhosts" else {**item.value, "vhost": vhost})

    def _is_elsewhere(self, broker: Broker, vhost: str) -> bool:
        return vhost in broker.vhosts and not broker.is_here(vhost)

    def carry_out(self, broker: Broker) -> Iterator[None]:
        """Do all the file says, which has been rehearsed."""
        if self._vhost is not None:
            self._describe_vhost(broker, self._vhost, self._document)
        changed: dict[str, None] = {}
        for section, item in self._items():
            if changed and section not in _WITH_PARAMETERS:
                for name in changed:
                    if name in broker.vhosts:
                        broker.apply_parameters(name)
                    yield
                changed.clear()
            if section in _CONTENTS and not broker.is_here(self._vhost_of(item)):
                self._leave(section, item)
                continue
            try:
                self._take(broker, section, item)
            except InvalidDefinitionsError as error:
                log.warning("definitions: %s was overtaken by another change: %s", error.path, error.reason)
            if section in _WITH_PARAMETERS:
                changed[self._vhost_of(item)] = None
            yield
        for name in changed:
            if name in broker.vhosts:
                broker.apply_parameters(name)

    def _leave(self, section: str, item: Fields) -> None:
        """Keep an item for the node that has its vhost."""
        vhost = self._vhost_of(item)
        _add_to(self.left, vhost, section, {**item.value, "vhost": vhost})

    def _items(self) -> Iterator[tuple[str, Fields]]:
        return ((section, item) for section in _SECTIONS for item in self._document.items(section))

    def _take(self, broker: Broker, section: str, item: Fields) -> None:
        """Do what one item says. Raises InvalidDefinitionsError."""
        try:
            _SECTIONS[section](self, broker, item)
        except InvalidDefinitionsError:
            raise
        except (AdministrationError, InvalidHashError) as error:
            raise InvalidDefinitionsError(item.path, str(error)) from None
        except AMQPError as error:
            raise InvalidDefinitionsError(item.path, error.reply_text.partition(" - ")[2]) from None

    def _user(self, broker: Broker, item: Fields) -> None:
        name, algorithm = item.text("name"), item.text("hashing_algorithm", str(self._assumed))
        if algorithm not in list(HashAlgorithm):
            raise InvalidDefinitionsError(item.path, f"unknown hashing algorithm '{algorithm}'")
        password: str | PasswordHash = item.text("password", "")
        if not password:
            password = PasswordHash.from_text(item.text("password_hash", ""), HashAlgorithm(algorithm))
        tags = item.words("tags")
        if "administrator" in item and item.flag("administrator", False):
            tags.append("administrator")
        users.put_user(broker, name, password, tags, by=self._by)
        if limits := item.table("limits"):
            users.set_user_limits(broker, name, limits, by=self._by)

    def _a_vhost(self, broker: Broker, item: Fields) -> None:
        self._describe_vhost(broker, item.text("name"), item)

    def _describe_vhost(self, broker: Broker, name: str, item: Fields) -> None:
        metadata = Fields({**item.table("metadata"), **{key: item[key] for key in _METADATA if key in item}}, item.path)
        queue_type = metadata.text("default_queue_type", "undefined")
        vhosts.add_vhost(
            broker,
            name,
            description=metadata.text("description", "") if "description" in metadata else None,
            tags=metadata.words("tags") if "tags" in metadata else None,
            default_queue_type=None if queue_type in ("undefined", "") else queue_type,
            is_tracing=item.flag("tracing", False) if "tracing" in item else None,
            by=self._by,
        )
        if limits := item.table("limits"):
            vhosts.set_vhost_limits(broker, name, limits, by=self._by)

    def _permission(self, broker: Broker, item: Fields) -> None:
        patterns = (item.text("configure"), item.text("write"), item.text("read"))
        permissions.set_permissions(broker, item.text("user"), self._vhost_of(item), *patterns, by=self._by)

    def _topic_permission(self, broker: Broker, item: Fields) -> None:
        vhost, exchange = self._vhost_of(item), item.text("exchange")
        patterns = (item.text("write"), item.text("read"))
        permissions.set_topic_permissions(broker, item.text("user"), vhost, exchange, *patterns, by=self._by)

    def _global_parameter(self, broker: Broker, item: Fields) -> None:
        if not item.text("name").startswith("internal"):
            parameters.set_global_parameter(broker, item.text("name"), item["value"], by=self._by)

    def _policy(self, broker: Broker, item: Fields) -> None:
        vhost = self._vhost_of(item)
        parameters.keep_policy(broker, vhost, POLICY, item.text("name"), item.value, is_imported=True, by=self._by)

    def _parameter(self, broker: Broker, item: Fields) -> None:
        vhost, component, name = self._vhost_of(item), item.text("component"), item.text("name")
        if component in (POLICY, OPERATOR_POLICY):
            value = item.table("value")
            if "definition" in value:
                value = {**value, "definition": as_object(value["definition"])}
            parameters.keep_policy(broker, vhost, component, name, value, is_imported=True, by=self._by)
        elif component == VHOST_LIMITS:
            vhosts.set_vhost_limits(broker, vhost, item.table("value"), by=self._by)
        else:
            parameters.keep_parameter(broker, vhost, component, name, item["value"], by=self._by)

    def _exchange(self, broker: Broker, item: Fields) -> None:
        vhost, name = vhosts.find_vhost(broker, self._vhost_of(item)), item.text("name")
        if name in vhost.exchanges or _is_reserved(name):
            return
        users.check_name("exchange", name)
        type_ = item.text("type", "direct")
        vhost.declare_exchange(
            name,
            _EXCHANGE_TYPES.get(type_, type_),
            durable=item.flag("durable", True),
            auto_delete=item.flag("auto_delete", False),
            internal=item.flag("internal", False),
            arguments=item.arguments(),
            authorize=_allow,
            user=self._by,
        )

    def _queue(self, broker: Broker, item: Fields) -> None:
        vhost, name = vhosts.find_vhost(broker, self._vhost_of(item)), item.text("name")
        if name in vhost.queues or _is_reserved(name):
            return
        users.check_name("queue", name)
        arguments = item.arguments()
        if item.text("type", ""):
            arguments.setdefault("x-queue-type", item.text("type").encode())
        vhost.declare_queue(
            name,
            durable=item.flag("durable", True),
            exclusive_owner=None,
            auto_delete=item.flag("auto_delete", False),
            arguments=arguments,
            connection=None,
            authorize=_allow,
            check_limit=broker.check_queue_limit,
            user=self._by,
        )

    def _binding(self, broker: Broker, item: Fields) -> None:
        vhost = vhosts.find_vhost(broker, self._vhost_of(item))
        is_exchange = item.text("destination_type", "queue") in ("exchange", "e")
        there: Mapping[str, Exchange | Queue] = vhost.exchanges if is_exchange else vhost.queues
        source, destination = vhost.exchanges.get(item.text("source")), there.get(item.text("destination"))
        routing_key, arguments = item.text("routing_key", ""), item.arguments()
        if routing_key:
            users.check_name("routing key", routing_key)
        if item.text("source") == DEFAULT_EXCHANGE:
            return
        if source is None or destination is None:
            # RabbitMQ exports the bindings of internal exchanges and exclusive queues, but not these themselves.
            if item.path not in self._left_out:
                self._left_out.add(item.path)
                log.warning("definitions: %s is left out: an end of the binding is not there", item.path)
            return
        vhost.bind(source, destination, routing_key, arguments, user=self._by)

    def _vhost_of(self, item: Fields) -> str:
        return item.text("vhost") if self._vhost is None else item.text("vhost", self._vhost)


_METADATA: Final = ("description", "tags", "default_queue_type")

_Take: TypeAlias = Callable[[_Import, Broker, Fields], None]

_SECTIONS: Final[Mapping[str, _Take]] = {
    "users": _Import._user,
    "vhosts": _Import._a_vhost,
    "permissions": _Import._permission,
    "exchanges": _Import._exchange,
    "topic_permissions": _Import._topic_permission,
    "global_parameters": _Import._global_parameter,
    "policies": _Import._policy,
    "parameters": _Import._parameter,
    "queues": _Import._queue,
    "bindings": _Import._binding,
}
"""In the order in which later ones need earlier ones."""

_CONTENTS: Final = ("exchanges", "queues", "bindings")
"""What is in a vhost, and hence with the node that has it."""

_REHEARSED_ELSEWHERE: Final = ("vhosts", "parameters", *_CONTENTS)
"""The same, with what may limit it."""

_WITH_PARAMETERS: Final = ("policies", "parameters")
"""What takes effect all at once, when the last of them has been kept."""


def import_definitions(
    broker: Broker, document: Json, vhost: str | None = None, *, by: str = INTERNAL_USER
) -> Left | None:
    """Take over definitions, of a whole broker or of one vhost.

    Args:
        broker: which keeps what it has.
        document: as `read_document` gives it.
        vhost: where items go that name no vhost; it is made if it isn't there. Without it the export of one vhost goes
            into the default vhost.
        by: who does it.

    Returns:
        What is for other nodes of the cluster; None where there is nothing.

    Raises:
        InvalidDefinitionsError: something in it can't be; nothing has been changed.
    """
    return run_through(importing_definitions(broker, document, vhost, by=by))


def importing_definitions(
    broker: Broker, document: Json, vhost: str | None = None, *, by: str = INTERNAL_USER
) -> Generator[Left | None, None, Left | None]:
    """Do the same in steps, one for each item; nothing is changed until all have been looked at.

    What other nodes have to look at comes as a `Left` in between; who goes on regardless learns later what they refuse.
    """
    job = yield from rehearsing_definitions(broker, document, vhost, by=by)
    yield from job.carry_out(broker)
    return Left(job.left, by) if job.left else None


def rehearsing_definitions(
    broker: Broker, document: Json, vhost: str | None = None, *, by: str = INTERNAL_USER
) -> Generator[Left | None, None, _Import]:
    """Only look at all of them. Raises InvalidDefinitionsError."""
    fields = Fields(document, "$")
    if vhost is None and fields.text("rabbitmq_definition_format", "cluster") == "single_virtual_host":
        vhost = broker.config.default_vhost
        log.warning("the definitions are those of one vhost: they go into %r", vhost)
    job = _Import(fields, vhost, by)
    yield from job.rehearse(broker)
    if unseen := job.unseen:
        yield Left(unseen, by, is_rehearsal=True)
    return job


class _Copy:
    """As much of a broker as a file names, to try the file on.

    Attributes:
        broker: the copy.
    """

    def __init__(self, original: Broker) -> None:
        self._original = original
        self.broker = Broker(original.config, now=original.timers.now, storage=MemoryStorage())
        self._brought_queues: Counter[str] = Counter()
        there = sum(len(vhost.queues) for vhost in original.vhosts.values())
        self.broker.max_queues = _room(original.max_queues, there)
        self.broker.max_vhosts = _room(original.max_vhosts, len(original.vhosts))

    def bring(self, section: str, item: Fields, vhost: str | None) -> None:
        """Copy what an item builds on; what is wrong with the item is for others to find."""
        name, value = item.value.get("name"), item.value
        if section == "vhosts":
            self.bring_vhost(name)
            return
        self._bring_user(value.get("user"))
        where = self.bring_vhost(value.get("vhost") or vhost)
        if where is None:
            return
        original, copy = where
        if section == "exchanges":
            _bring_exchange(original, copy, name)
        elif section == "queues":
            self._bring_queue(original, copy, name)
            self._limit_queues(original, copy)
        elif section == "bindings":
            _bring_exchange(original, copy, value.get("source"))
            _bring_exchange(original, copy, value.get("destination"))
            self._bring_queue(original, copy, value.get("destination"))

    def bring_vhost(self, name: Json) -> tuple[Vhost, Vhost] | None:
        """Copy a vhost without what is in it; gives both, or None where there is none."""
        original = self._original.vhosts.get(name) if isinstance(name, str) else None
        if original is None:
            return None
        copy = self.broker.vhosts.get(original.name)
        if copy is None:
            self.broker.max_vhosts = _one_more(self.broker.max_vhosts)
            copy = self.broker.add_vhost(original.name)
            copy.default_queue_type = original.default_queue_type
        return original, copy

    def _bring_user(self, name: Json) -> None:
        user = self._original.users.get(name) if isinstance(name, str) else None
        if user is not None and self.broker.users.get(user.name) is None:
            self.broker.users.add(User(name=user.name, password=user.password))

    def _bring_queue(self, original: Vhost, copy: Vhost, name: Json) -> None:
        queue = original.queues.get(name) if isinstance(name, str) else None
        if queue is not None and queue.name not in copy.queues:
            self._brought_queues[copy.name] += 1
            self.broker.max_queues = _one_more(self.broker.max_queues)
            copy.add_queue(
                queue.name,
                queue_id=0,
                durable=False,
                exclusive_owner=None,
                auto_delete=False,
                arguments=queue.arguments,
                options=queue.options,
            )

    def _limit_queues(self, original: Vhost, copy: Vhost) -> None:
        """Let there be as many new queues as the original has room for."""
        named = vhosts.vhost_limits(self.broker, copy.name)
        limit = limit_of(named, "max-queues") if named else original.max_queues
        if limit is not None and limit >= 0:
            room = max(0, limit - len(original.queues))
            copy.max_queues = self._brought_queues[copy.name] + room


def _room(limit: int | None, count: int) -> int | None:
    """How many more there may be; what is brought to the copy comes on top."""
    return None if limit is None else max(0, limit - count)


def _one_more(limit: int | None) -> int | None:
    return None if limit is None else limit + 1


def _bring_exchange(original: Vhost, copy: Vhost, name: Json) -> None:
    exchange = original.exchanges.get(name) if isinstance(name, str) else None
    if exchange is not None and exchange.name not in copy.exchanges:
        copy.add_exchange(Exchange(exchange.name, exchange.type, arguments=exchange.arguments))


def _add_to(documents: dict[str, dict[str, Json]], vhost: str, section: str, item: Json) -> None:
    items = documents.setdefault(vhost, {}).setdefault(section, [])
    assert isinstance(items, list)
    items.append(item)


def _is_older(document: Fields, version: tuple[int, int]) -> bool:
    """Whether the file was written by a RabbitMQ before some version; LavinMQ names none."""
    written_by = document.text("rabbit_version", document.text("rabbitmq_version", ""))
    found = re.match(r"(\d+)\.(\d+)", written_by)
    return found is not None and (int(found[1]), int(found[2])) < version


def _check_text(item: Fields) -> None:
    """Let an item be one that can be written down. Raises InvalidDefinitionsError."""
    try:
        json.dumps(item.value, ensure_ascii=False).encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        shown = error.object[error.start].encode("ascii", "backslashreplace").decode()
        raise InvalidDefinitionsError(item.path, f"{shown} alone is no character") from None


def _is_reserved(name: str) -> bool:
    """What every broker makes itself, or clients had made for them."""
    return name == "" or name.startswith("amq.")


def _allow(*_: object) -> None:
    """Whoever may import may do all this."""
