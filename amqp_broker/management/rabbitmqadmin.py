#!/usr/bin/env python3
"""rabbitmqadmin: a broker's management API on the command line.

The broker serves this file at /cli/rabbitmqadmin. It understands the sub-commands, options and configuration file of
the script of that name which came with RabbitMQ up to 4.2, and works with RabbitMQ as well. It needs Python 3.10 or
later and nothing else, and imports nothing of the broker.
"""

from __future__ import annotations

import argparse
import base64
import configparser
import http.client
import json
import os
import shutil
import ssl
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, NoReturn
from urllib.parse import quote, urlencode, urlsplit

VERSION = "1.0"
CONFIG_FILE = "~/.rabbitmqadmin.conf"
ALL_VHOSTS = ""

LISTS = {
    "connections": ("name", "user", "channels"),
    "channels": ("name", "user"),
    "consumers": (),
    "exchanges": ("name", "type"),
    "queues": ("name", "messages"),
    "bindings": ("source", "destination", "routing_key"),
    "users": (),
    "vhosts": ("name", "messages"),
    "permissions": (),
    "nodes": ("name", "type", "mem_used"),
    "parameters": (),
    "policies": (),
    "operator_policies": (),
    "vhost_limits": (),
}
"""What can be listed, with the columns that are shown if none are named; none stands for all."""

OF_VHOSTS = ("connections", "channels", "consumers", "exchanges", "queues", "bindings", "policies", "operator_policies")
"""What is listed of one vhost, if one is named."""

OVERVIEW = ("rabbitmq_version", "cluster_name", "queue_totals.messages", "object_totals.queues")

GOT = (
    "routing_key",
    "exchange",
    "message_count",
    "payload",
    "payload_bytes",
    "payload_encoding",
    "properties",
    "redelivered",
)


class Thing(NamedTuple):
    """Something that can be declared and deleted.

    Attributes:
        path: where it is made; what it is deleted by is added where that differs.
        needs: what has to be said to declare it.
        takes: what may be said as well; None leaves it to the broker.
        json: of these, what is JSON; all else is text.
    """

    path: str
    needs: tuple[str, ...]
    takes: Mapping[str, str | None]
    json: tuple[str, ...] = ()


_POLICY_TAKES = {"priority": "0", "apply-to": None}

THINGS = {
    "exchange": Thing(
        "exchanges/{vhost}/{name}",
        ("name", "type"),
        {"auto_delete": "false", "durable": "true", "internal": "false", "arguments": "{}"},
        ("arguments",),
    ),
    "queue": Thing(
        "queues/{vhost}/{name}",
        ("name",),
        {"auto_delete": "false", "durable": "true", "arguments": "{}", "node": None, "queue_type": None},
        ("arguments",),
    ),
    "binding": Thing(
        "bindings/{vhost}/e/{source}/{destination_type}/{destination}",
        ("source", "destination"),
        {"destination_type": "queue", "routing_key": "", "arguments": "{}"},
        ("arguments",),
    ),
    "vhost": Thing("vhosts/{name}", ("name",), {"tracing": None}),
    "user": Thing(
        "users/{name}",
        ("name", "tags"),
        {"password": None, "password_hash": None, "hashing_algorithm": None},
    ),
    "permission": Thing("permissions/{vhost}/{user}", ("vhost", "user", "configure", "write", "read"), {}),
    "parameter": Thing("parameters/{component}/{vhost}/{name}", ("component", "name", "value"), {}, ("value",)),
    "policy": Thing("policies/{vhost}/{name}", ("name", "pattern", "definition"), _POLICY_TAKES, ("definition",)),
    "operator_policy": Thing(
        "operator-policies/{vhost}/{name}", ("name", "pattern", "definition"), _POLICY_TAKES, ("definition",)
    ),
    "vhost_limit": Thing("vhost-limits/{vhost}/{name}", ("vhost", "name", "value"), {}, ("value",)),
}

DELETED_BY: dict[str, tuple[str, ...]] = {
    "binding": ("source", "destination_type", "destination"),
    "permission": ("vhost", "user"),
    "parameter": ("component", "name"),
    "vhost_limit": ("vhost", "name"),
}
"""What has to be said to delete something, where it is not just the name."""

HOSTS_EXAMPLE = """\
A configuration file has a section for each broker; -N names one, "default" is taken where there is no -N.

  [default]
  hostname = localhost
  port = 15672
  username = guest
  password = guest
  vhost = /           # for all that is declared, deleted and listed
  declare_vhost = /   # the same without lists

  [production]
  hostname = rabbit.example.org
  port = 15671
  username = ann
  password = secret
  ssl = True
  ssl_ca_cert_file = /etc/ssl/ca.pem

  rabbitmqadmin -c FILE -N production list queues

Without -c the file is ~/.rabbitmqadmin.conf."""


class UsageError(Exception):
    """The command line makes no sense."""


class RequestError(Exception):
    """The broker did not do it; the text says why."""


# What is asked for


class Options(argparse.Namespace):
    """The command line over the configuration file over the defaults."""

    host: str
    port: int
    path_prefix: str
    vhost: str
    declare_vhost: str
    username: str
    password: str
    base_uri: str | None
    quiet: bool
    ssl: bool
    ssl_key_file: str | None
    ssl_cert_file: str | None
    ssl_ca_cert_file: str | None
    ssl_disable_hostname_verification: bool
    ssl_insecure: bool
    request_timeout: float
    format: str
    sort: str | None
    sort_reverse: bool
    depth: int
    words: list[str]


DEFAULTS: dict[str, Any] = {
    "host": "localhost",
    "port": 15672,
    "path_prefix": "",
    "vhost": ALL_VHOSTS,
    "declare_vhost": "/",
    "username": "guest",
    "password": "guest",
    "ssl": False,
    "ssl_disable_hostname_verification": False,
    "ssl_insecure": False,
    "request_timeout": 120.0,
}


def parser() -> argparse.ArgumentParser:
    """Everything that has a default above is None here unless it was said."""
    made = argparse.ArgumentParser(
        prog="rabbitmqadmin", usage="rabbitmqadmin [options] subcommand", epilog="See also: rabbitmqadmin help"
    )
    add = made.add_argument
    add("-c", "--config", metavar="FILE", help=f"configuration file (default: {CONFIG_FILE})")
    add("-N", "--node", metavar="NAME", help="section of the configuration file (default: default)")
    add("-H", "--host", help="host (default: localhost)")
    add("-P", "--port", type=int, help="port of the management API (default: 15672)")
    add("--path-prefix", metavar="PATH", help="what comes before /api in paths")
    add("-V", "--vhost", help="vhost (default: all to list, / to declare)")
    add("-u", "--username", help="user (default: guest)")
    add("-p", "--password", help="password (default: guest)")
    add("-U", "--base-uri", metavar="URI", help="scheme, host, port and prefix at once")
    add("-q", "--quiet", action="store_true", help="say nothing of what was done, and no headings in tsv")
    add("-s", "--ssl", action="store_true", default=None, help="use HTTPS")
    add("--ssl-key-file", metavar="FILE", help="own key, PEM")
    add("--ssl-cert-file", metavar="FILE", help="own certificate, PEM")
    add("--ssl-ca-cert-file", metavar="FILE", help="certificates to trust, PEM")
    add("--ssl-disable-hostname-verification", action="store_true", default=None, help="accept any host name")
    add("-k", "--ssl-insecure", action="store_true", default=None, help="accept any certificate")
    add("-t", "--request-timeout", type=float, metavar="S", help="seconds to wait for an answer (default: 120)")
    add("-f", "--format", choices=list(FORMATS), default="table", metavar="FORM", help=f"one of {', '.join(FORMATS)}")
    add("-S", "--sort", metavar="COLUMN", help="order of lists")
    add("-R", "--sort-reverse", action="store_true", help="the other way round")
    add("-d", "--depth", type=int, default=1, help="how deep to go into what has fields of its own (default: 1)")
    add("--bash-completion", action="store_true", help="print a script that completes words in bash")
    add("--version", action="version", version=f"rabbitmqadmin {VERSION} (trio-amqp-broker)")
    add("words", nargs="*", help=argparse.SUPPRESS)
    return made


def read_options(arguments: Sequence[str]) -> Options:
    """Put everything together. Raises UsageError."""
    options = parser().parse_intermixed_args(arguments, Options())
    found = _from_file(options.config, options.node)
    for name, default in DEFAULTS.items():
        if getattr(options, name, None) is None:
            value = found.get(name, default)
            if isinstance(default, bool) and isinstance(value, str):
                value = value.lower() in ("true", "yes", "on", "1")
            elif isinstance(default, int | float) and not isinstance(default, bool):
                value = type(default)(value)
            setattr(options, name, value)
    for name in ("ssl_key_file", "ssl_cert_file", "ssl_ca_cert_file"):
        setattr(options, name, getattr(options, name) or found.get(name))
    if options.base_uri:
        parts = urlsplit(options.base_uri)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageError("base URI is not of the form http://host:port/prefix")
        options.ssl, options.host, options.path_prefix = parts.scheme == "https", parts.hostname, parts.path
        options.port = parts.port or (443 if options.ssl else 80)
    if options.vhost != ALL_VHOSTS:
        options.declare_vhost = options.vhost
    return options


def _from_file(path: str | None, section: str | None) -> dict[str, str]:
    """The settings of a section. Raises UsageError when it is not there, though it was named."""
    config = configparser.ConfigParser(inline_comment_prefixes=("#",), interpolation=None)
    try:
        if not config.read(os.path.expanduser(path or CONFIG_FILE)) and path is not None:
            raise UsageError(f"can't read configuration file {path}")
    except configparser.Error as error:
        raise UsageError(f"configuration file: {error}") from None
    if section is not None and not config.has_section(section):
        raise UsageError(f"there is no section [{section}] in the configuration file")
    name = section or "default"
    found = dict(config[name]) if config.has_section(name) else {}
    if "hostname" in found:
        found["host"] = found.pop("hostname")
    return found


def said(words: Iterable[str], needs: Iterable[str], takes: Mapping[str, str | None]) -> dict[str, str]:
    """`name=value` words as a table, completed by defaults. Raises UsageError."""
    values = {name: value for name, value in takes.items() if value is not None}
    needed = list(needs)
    for word in words:
        name, is_there, value = word.partition("=")
        if not is_there:
            raise UsageError(f'"{word}" is not of the form name=value')
        if name not in needed and name not in takes and name != "vhost":
            raise UsageError(f'Argument "{name}" is not recognised')
        values[name] = value
    for name in needed:
        if name not in values:
            raise UsageError(f'mandatory argument "{name}" is required')
    return values


# The broker


class Api:
    """The management API of one broker."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._prefix = options.path_prefix.rstrip("/")
        login = f"{options.username}:{options.password}".encode()
        self._headers = {
            "authorization": f"Basic {base64.b64encode(login).decode()}",
            "content-type": "application/json",
        }

    def call(self, method: str, path: str, body: object = None) -> Any:
        """Ask; gives what is answered, None for nothing. Raises RequestError."""
        full_path = f"{self._prefix}/api/{path}"
        sent = None if body is None else json.dumps(body)
        try:
            connection = self._connect()
            connection.request(method, full_path, sent, self._headers)
            response = connection.getresponse()
            octets = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise RequestError(f"Could not connect: {error or type(error).__name__}") from None
        connection.close()
        if response.status < 300:
            return json.loads(octets) if octets else None
        if response.status == 401:
            raise RequestError(f"Access refused: {full_path}")
        if response.status == 404:
            raise RequestError(f"Not found: {full_path}")
        try:
            reason = json.loads(octets)["reason"]
        except (ValueError, LookupError, TypeError):
            reason = f"Received {response.status} {response.reason} for path {full_path}"
        raise RequestError(str(reason))

    def _connect(self) -> http.client.HTTPConnection:
        options = self._options
        if not options.ssl:
            return http.client.HTTPConnection(options.host, options.port, timeout=options.request_timeout)
        context = ssl.create_default_context(cafile=options.ssl_ca_cert_file)
        if options.ssl_insecure or options.ssl_disable_hostname_verification:
            context.check_hostname = False
        if options.ssl_insecure:
            context.verify_mode = ssl.CERT_NONE
        if options.ssl_cert_file:
            context.load_cert_chain(options.ssl_cert_file, options.ssl_key_file)
        return http.client.HTTPSConnection(options.host, options.port, timeout=options.request_timeout, context=context)


def path_of(pattern: str, values: Mapping[str, str]) -> str:
    """A path with names in it, each quoted on its own."""
    return pattern.format_map({name: quote(value, safe="") for name, value in values.items()})


def as_json(name: str, text: str) -> object:
    """Raises UsageError."""
    try:
        return json.loads(text)
    except ValueError:
        raise UsageError(f'Could not parse JSON of "{name}":\n  {text}') from None


# Sub-commands


class Admin:
    """Carries out one sub-command."""

    def __init__(self, options: Options, api: Api) -> None:
        self._options = options
        self._api = api

    def run(self) -> None:
        """Raises UsageError and RequestError."""
        command, *words = self._options.words or [""]
        method = COMMANDS.get(command)
        if method is None:
            raise UsageError(f"Action {command} not understood" if command else "Action not specified")
        method(self, words)

    def list(self, words: Sequence[str]) -> None:
        kind, *columns = _first(words, "list", LISTS)
        path = kind.replace("_", "-")
        if kind in OF_VHOSTS and self._options.vhost != ALL_VHOSTS:
            within = f"{path}/{quote(self._options.vhost, safe='')}"
            path = f"vhosts/{within.partition('/')[2]}/{path}" if kind in ("connections", "channels") else within
        shows_all = self._options.format.endswith("_json") or self._options.depth > 1
        wanted = columns or ([] if shows_all else list(LISTS[kind]))
        query = {"columns": ",".join(wanted)} if wanted else {}
        if self._options.sort:
            query |= {"sort": self._options.sort, "sort_reverse": str(self._options.sort_reverse).lower()}
        self._show(self._api.call("GET", f"{path}?{urlencode(query)}" if query else path), wanted)

    def show(self, words: Sequence[str]) -> None:
        _, *columns = _first(words, "show", ("overview",))
        shows_all = self._options.format.endswith("_json") or self._options.depth > 1
        self._show([self._api.call("GET", "overview")], columns or ([] if shows_all else OVERVIEW))

    def declare(self, words: Sequence[str]) -> None:
        kind, *rest = _first(words, "declare", THINGS)
        thing = THINGS[kind]
        values = said(rest, thing.needs, thing.takes)
        if kind == "user" and len({"password", "password_hash"} & values.keys()) != 1:
            raise UsageError("one of password and password_hash is required")
        body: dict[str, object] = {
            name: as_json(name, value) if name in thing.json else value
            for name, value in values.items()
            if name != "vhost"
        }
        if kind == "queue" and "queue_type" in body:
            body["arguments"] = {**dict(_table(body["arguments"])), "x-queue-type": body.pop("queue_type")}
        path = path_of(thing.path, self._placed(values))
        self._api.call("POST" if kind == "binding" else "PUT", path, body)
        self._say(f"{kind} declared")

    def delete(self, words: Sequence[str]) -> None:
        kind, *rest = _first(words, "delete", THINGS)
        takes = {"properties_key": "~"} if kind == "binding" else {}
        values = said(rest, DELETED_BY.get(kind, ("name",)), takes)
        pattern = THINGS[kind].path + ("/{properties_key}" if kind == "binding" else "")
        self._api.call("DELETE", path_of(pattern, self._placed(values)))
        self._say(f"{kind} deleted")

    def purge(self, words: Sequence[str]) -> None:
        _, *rest = _first(words, "purge", ("queue",))
        self._api.call("DELETE", path_of("queues/{vhost}/{name}/contents", self._placed(said(rest, ("name",), {}))))
        self._say("queue purged")

    def close(self, words: Sequence[str]) -> None:
        _, *rest = _first(words, "close", ("connection",))
        self._api.call("DELETE", path_of("connections/{name}", said(rest, ("name",), {})))
        self._say("connection closed")

    def export(self, words: Sequence[str]) -> None:
        path = _file(words, "export")
        definitions = self._api.call("GET", self._definitions())
        with open(path, "w", encoding="utf-8") as file:
            json.dump(definitions, file)
        self._say(f'Exported definitions for {self._options.host} to "{path}"')

    def import_(self, words: Sequence[str]) -> None:
        path = _file(words, "import")
        with open(path, encoding="utf-8-sig") as file:
            definitions = as_json(path, file.read())
        self._api.call("POST", self._definitions(), definitions)
        self._say(f'Uploaded definitions from "{path}" to {self._options.host}')

    def publish(self, words: Sequence[str]) -> None:
        takes = {"payload": None, "properties": "{}", "exchange": "amq.default", "payload_encoding": "string"}
        values = said(words, ("routing_key",), takes)
        body: dict[str, object] = {"payload": sys.stdin.read()} if "payload" not in values else {}
        body |= {name: value for name, value in values.items() if name not in ("vhost", "exchange")}
        body["properties"] = as_json("properties", values["properties"])
        path = path_of("exchanges/{vhost}/{exchange}/publish", self._placed(values))
        answer = self._api.call("POST", path, body)
        self._say("Message published" if answer["routed"] else "Message published but NOT routed")

    def get(self, words: Sequence[str]) -> None:
        takes = {"count": "1", "ackmode": "ack_requeue_true", "payload_file": None, "encoding": "auto"}
        values = said(words, ("queue",), takes)
        path = values.get("payload_file")
        if path is not None and values["count"] != "1":
            raise UsageError("payload_file is for one message: leave out count")
        body = {name: values[name] for name in ("count", "ackmode", "encoding")}
        messages = self._api.call("POST", path_of("queues/{vhost}/{queue}/get", self._placed(values)), body)
        if path is not None and messages:
            payload, encoding = messages[0].pop("payload"), messages[0].pop("payload_encoding")
            with open(path, "wb") as file:
                file.write(base64.b64decode(payload) if encoding == "base64" else payload.encode())
        self._show(messages, [name for name in GOT if not messages or name in messages[0]])

    def help(self, words: Sequence[str]) -> None:
        subject = words[0] if words else "subcommands"
        if subject not in ("subcommands", "config"):
            raise UsageError(f"help is there on subcommands and config, not on {subject}")
        print(HOSTS_EXAMPLE if subject == "config" else subcommands())

    def _placed(self, values: Mapping[str, str]) -> dict[str, str]:
        """The names for a path, in which a binding's destination is a letter, and no exchange has an empty name."""
        placed = {"vhost": self._options.declare_vhost, **values}
        if "destination_type" in placed:
            placed["destination_type"] = placed["destination_type"][:1]
        for name in ("source", "exchange"):
            placed[name] = placed.get(name) or "amq.default"
        return placed

    def _definitions(self) -> str:
        vhost = self._options.vhost
        return "definitions" if vhost == ALL_VHOSTS else f"definitions/{quote(vhost, safe='')}"

    def _say(self, what: str) -> None:
        if not self._options.quiet:
            print(what)

    def _show(self, records: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
        options = self._options
        if options.format.endswith("_json"):
            is_pretty = options.format == "pretty_json"
            print(json.dumps(records, indent=2, sort_keys=True) if is_pretty else json.dumps(records))
            return
        if not records:
            if not options.quiet:
                print("No items")
            return
        rows = [flattened(record, options.depth) for record in records]
        if columns:
            rows = [{name: at(record, name) for name in columns} for record in records]
        names = list(columns) or in_order(dict.fromkeys(name for row in rows for name in row))
        FORMATS[options.format](names, [[text_of(row.get(name)) for name in names] for row in rows], options)


COMMANDS: dict[str, Callable[[Admin, Sequence[str]], None]] = {
    "list": Admin.list,
    "show": Admin.show,
    "declare": Admin.declare,
    "delete": Admin.delete,
    "purge": Admin.purge,
    "close": Admin.close,
    "export": Admin.export,
    "import": Admin.import_,
    "publish": Admin.publish,
    "get": Admin.get,
    "help": Admin.help,
}


def subcommands() -> str:
    """All of them, with what each takes."""
    lines = ["rabbitmqadmin [options] subcommand, which is one of:", ""]
    lines += [f"  list {kind} [<column>...]" for kind in LISTS]
    lines += ["  show overview [<column>...]", ""]
    for kind, thing in THINGS.items():
        needs = " ".join(f"{name}=..." for name in thing.needs)
        takes = " ".join(f"{name}=..." for name in thing.takes)
        lines.append(f"  declare {kind} {needs}" + (f" [{takes}]" if takes else ""))
    for kind in THINGS:
        needs = " ".join(f"{name}=..." for name in DELETED_BY.get(kind, ("name",)))
        lines.append(f"  delete {kind} {needs}" + (" [properties_key=...]" if kind == "binding" else ""))
    lines += [
        "  purge queue name=...",
        "  close connection name=...",
        "",
        "  export <file>",
        "  import <file>",
        "",
        "  publish routing_key=... [exchange=... payload=... payload_encoding=... properties=...]",
        "      without a payload, standard input is sent",
        "  get queue=... [count=... ackmode=... encoding=... payload_file=...]",
        "      with payload_file, the payload goes there",
        "",
        "rabbitmqadmin help config tells of the configuration file, rabbitmqadmin --help of the options.",
    ]
    return "\n".join(lines)


def _first(words: Sequence[str], command: str, known: Iterable[str]) -> list[str]:
    """The words, of which the first has to be one of these. Raises UsageError."""
    if not words or words[0] not in known:
        raise UsageError(f"Don't know how to {command} {words[0] if words else 'nothing'}; it is {', '.join(known)}")
    return list(words)


def _file(words: Sequence[str], command: str) -> str:
    if len(words) != 1:
        raise UsageError(f"{command} needs the path of one file")
    return words[0]


def _table(value: object) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise UsageError("arguments have to be a JSON object")
    return value


# How it is shown


def at(record: Mapping[str, Any], path: str) -> Any:
    """What is at a path with dots."""
    value: Any = record
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def flattened(record: Mapping[str, Any], depth: int, prefix: str = "") -> dict[str, Any]:
    """The fields, those of fields too as far as `depth`, with dots in their names."""
    flat: dict[str, Any] = {}
    for name, value in record.items():
        if isinstance(value, Mapping) and depth > 1:
            flat |= flattened(value, depth - 1, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def in_order(names: Iterable[str]) -> list[str]:
    """What something is called first, the rest by name."""
    first = ("vhost", "name")
    return sorted(names, key=lambda name: (first.index(name) if name in first else len(first), name))


def text_of(value: object) -> str:
    if value is None:
        return ""
    return json.dumps(value) if isinstance(value, dict | list) else str(value)


def show_table(names: Sequence[str], rows: Sequence[Sequence[str]], _options: Options) -> None:
    cells = [[cell.replace("\n", "\\n") for cell in row] for row in rows]
    widths = [max(len(cell) for cell in column) for column in zip(names, *cells, strict=True)]
    line = "+".join(["", *("-" * (width + 2) for width in widths), ""])
    print(line)
    print(_row([name.center(width) for name, width in zip(names, widths, strict=True)]))
    print(line)
    for row in cells:
        print(_row([cell.ljust(width) for cell, width in zip(row, widths, strict=True)]))
    print(line)


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def show_long(names: Sequence[str], rows: Sequence[Sequence[str]], _options: Options) -> None:
    width = max(map(len, names))
    rule = "\n" + "-" * min(80, shutil.get_terminal_size().columns) + "\n"
    print(rule)
    for row in rows:
        for name, cell in zip(names, row, strict=True):
            print(f"{name:>{width}}: {cell}")
        print(rule)


def show_tsv(names: Sequence[str], rows: Sequence[Sequence[str]], options: Options) -> None:
    for row in rows if options.quiet else [names, *rows]:
        print("\t".join(row))


def show_pairs(names: Sequence[str], rows: Sequence[Sequence[str]], _options: Options) -> None:
    for row in rows:
        print(" ".join(f'{name}="{cell}"' for name, cell in zip(names, row, strict=True)))


def show_names(names: Sequence[str], rows: Sequence[Sequence[str]], _options: Options) -> None:
    """For completion: the names, or what else comes first."""
    column = names.index("name") if "name" in names else 0
    print(" ".join(row[column] for row in rows))


FORMATS: dict[str, Callable[[Sequence[str], Sequence[Sequence[str]], Options], None]] = {
    "table": show_table,
    "tsv": show_tsv,
    "long": show_long,
    "kvp": show_pairs,
    "bash": show_names,
    "raw_json": show_table,
    "pretty_json": show_table,
}
"""JSON is shown before it comes to that."""


def completion() -> str:
    """A script for bash."""
    things, lists = " ".join(THINGS), " ".join(LISTS)
    return f"""\
# Words of rabbitmqadmin for bash: keep this in a file below /etc/bash_completion.d, or source it.
_rabbitmqadmin() {{
    local word="${{COMP_WORDS[COMP_CWORD]}}" words="{" ".join(COMMANDS)}"
    case "${{COMP_WORDS[COMP_CWORD-1]}}" in
        list) words="{lists}" ;;
        declare|delete) words="{things}" ;;
        show) words="overview" ;;
        purge) words="queue" ;;
        close) words="connection" ;;
        help) words="subcommands config" ;;
        -f|--format) words="{" ".join(FORMATS)}" ;;
        -V|--vhost) words="$(rabbitmqadmin -q -f bash list vhosts)" ;;
        import|export|-c|--config) COMPREPLY=($(compgen -f -- "$word")); return ;;
    esac
    COMPREPLY=($(compgen -W "$words" -- "$word"))
}}
complete -F _rabbitmqadmin rabbitmqadmin"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; gives the status to exit with."""
    try:
        options = read_options(sys.argv[1:] if arguments is None else arguments)
        if options.bash_completion:
            print(completion())
        else:
            Admin(options, Api(options)).run()
    except UsageError as error:
        print(f"\nERROR: {error}\n\nrabbitmqadmin --help for help\n", file=sys.stderr)
        return 1
    except (RequestError, OSError) as error:
        print(f"*** {error}", file=sys.stderr)
        return 1
    return 0


def _exit() -> NoReturn:
    try:
        status = main()
        sys.stdout.flush()
    except BrokenPipeError:  # of `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 1
    sys.exit(status)


if __name__ == "__main__":
    _exit()
