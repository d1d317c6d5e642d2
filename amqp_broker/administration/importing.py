"""Definitions, read: those of this broker, of RabbitMQ from 3.6 on, and of LavinMQ.

All of a file or nothing: everything is done once on a copy of the broker that has no clients, no messages and no
storage; only if that raises nothing is it done again where it counts. What is in the file is added to what is
there: users, permissions, policies and parameters are replaced, queues, exchanges and bindings that are there stay.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from amqp_broker.administration import parameters, permissions, users, vhosts
from amqp_broker.administration.errors import AdministrationError
from amqp_broker.administration.fields import Fields, InvalidDefinitionsError, as_object
from amqp_broker.auth.passwords import HashAlgorithm, InvalidHashError, PasswordHash
from amqp_broker.broker import Broker
from amqp_broker.errors import AMQPError
from amqp_broker.events import INTERNAL_USER
from amqp_broker.queues.queue import Queue
from amqp_broker.registry import OPERATOR_POLICY, POLICY, VHOST_LIMITS, Json
from amqp_broker.routing.exchange import Exchange
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
        self._assumed = HashAlgorithm.MD5 if _is_older(document, _FIRST_SALTED) else HashAlgorithm.SHA256

    def carry_out(self, broker: Broker) -> None:
        """Do all the file says.

        Raises:
            InvalidDefinitionsError: something can't be done, what came before it has been.
        """
        if self._vhost is not None:
            self._describe_vhost(broker, self._vhost, self._document)
        for section, take in _SECTIONS.items():
            for item in self._document.items(section):
                try:
                    take(self, broker, item)
                except InvalidDefinitionsError:
                    raise
                except (AdministrationError, InvalidHashError) as error:
                    raise InvalidDefinitionsError(item.path, str(error)) from None
                except AMQPError as error:
                    raise InvalidDefinitionsError(item.path, error.reply_text.partition(" - ")[2]) from None
            if section == "parameters":
                for name in broker.vhosts:
                    broker.apply_parameters(name)

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
            user=self._by,
        )

    def _binding(self, broker: Broker, item: Fields) -> None:
        vhost = vhosts.find_vhost(broker, self._vhost_of(item))
        name = item.text("destination")
        destination: Exchange | Queue
        if item.text("destination_type", "queue") in ("exchange", "e"):
            destination = vhost.exchange(name)
        elif _is_reserved(name) and name not in vhost.queues:
            return
        else:
            destination = vhost.queue(name)
        if item.text("source"):
            vhost.bind(
                vhost.exchange(item.text("source")),
                destination,
                item.text("routing_key", ""),
                item.arguments(),
                user=self._by,
            )

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


def read_document(data: bytes) -> Json:
    """Read a file of definitions, whatever it says.

    Raises:
        InvalidDefinitionsError: it is no JSON.
    """
    try:
        document: Json = json.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise InvalidDefinitionsError("$", f"octet {error.start} is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise InvalidDefinitionsError("$", f"line {error.lineno}, column {error.colno}: {error.msg}") from None
    except RecursionError:
        raise InvalidDefinitionsError("$", "nested too deeply") from None
    return document


def import_definitions(broker: Broker, document: Json, vhost: str | None = None, *, by: str = INTERNAL_USER) -> None:
    """Take over definitions, of a whole broker or of one vhost.

    Args:
        broker: which keeps what it has.
        document: as `read_document` gives it.
        vhost: where items go that name no vhost; it is made if it isn't there. Without it the export of one vhost goes
            into the default vhost.
        by: who does it.

    Raises:
        InvalidDefinitionsError: something in it can't be; nothing has been changed.
    """
    fields = Fields(document, "$")
    if vhost is None and fields.text("rabbitmq_definition_format", "cluster") == "single_virtual_host":
        vhost = broker.config.default_vhost
        log.warning("the definitions are those of one vhost: they go into %r", vhost)
    job = _Import(fields, vhost, by)
    job.carry_out(_copy_of(broker))
    job.carry_out(broker)


def _copy_of(broker: Broker) -> Broker:
    """Make a broker with the same definitions, transient ones included, to try something on."""
    copy = Broker(broker.config, now=broker.timers.now, storage=MemoryStorage())
    copy.restore(broker.definitions(), {})
    for vhost in broker.vhosts.values():
        _copy_transient(vhost, copy.vhosts[vhost.name])
    return copy


def _copy_transient(vhost: Vhost, copy: Vhost) -> None:
    for exchange in vhost.exchanges.values():
        if exchange.name not in copy.exchanges:
            copy.add_exchange(Exchange(exchange.name, exchange.type, arguments=exchange.arguments))
    for queue in vhost.queues.values():
        if queue.name not in copy.queues:
            copy.add_queue(
                queue.name,
                queue_id=0,
                durable=False,
                exclusive_owner=None,
                auto_delete=False,
                arguments=queue.arguments,
                options=queue.options,
            )


def _is_older(document: Fields, version: tuple[int, int]) -> bool:
    """Whether the file was written by a RabbitMQ before some version; LavinMQ names none."""
    written_by = document.text("rabbit_version", document.text("rabbitmq_version", ""))
    found = re.match(r"(\d+)\.(\d+)", written_by)
    return found is not None and (int(found[1]), int(found[2])) < version


def _is_reserved(name: str) -> bool:
    """What every broker makes itself, or clients had made for them."""
    return name == "" or name.startswith("amq.")


def _allow(*_: object) -> None:
    """Whoever may import may do all this."""
