"""`rabbitmq-plugins`: Dockerfiles enable plugins; what is built in is enabled, whatever anybody says.

Asks no broker: the answers are the same whether one runs or not.
"""

from __future__ import annotations

import getopt
import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Final

BUILT_IN: Final = (
    "rabbitmq_auth_backend_http",
    "rabbitmq_auth_backend_oauth2",
    "rabbitmq_auth_mechanism_ssl",
    "rabbitmq_consistent_hash_exchange",
    "rabbitmq_delayed_message_exchange",
    "rabbitmq_event_exchange",
    "rabbitmq_exchange_federation",
    "rabbitmq_federation",
    "rabbitmq_federation_management",
    "rabbitmq_management",
    "rabbitmq_management_agent",
    "rabbitmq_message_deduplication",
    "rabbitmq_prometheus",
    "rabbitmq_queue_federation",
    "rabbitmq_random_exchange",
    "rabbitmq_recent_history_exchange",
    "rabbitmq_shovel",
    "rabbitmq_shovel_management",
    "rabbitmq_web_dispatch",
)
"""RabbitMQ's plugins, and those of others, whose work is done here."""

EXIT_USAGE: Final = 64
EXIT_DATA: Final = 65
EXIT_UNAVAILABLE: Final = 69

USAGE: Final = """Usage

rabbitmq-plugins [--quiet] [--silent] <command> [<plugin> ...]

Available commands:

   list [<pattern>] [--enabled|-E] [--implicitly-enabled|-e] [--minimal|-m] [--verbose|-v]
   enable <plugin> ... | --all [--offline] [--online] [--lenient]
   disable <plugin> ... | --all [--offline] [--online]
   set [<plugin> ...] [--offline] [--online] [--lenient]
   is_enabled <plugin> ...

--lenient makes a warning of a plugin that there is nothing for here."""

SHORT: Final = "n:qst:lEemv"
LONG: Final = (
    "node=", "quiet", "silent", "timeout=", "longnames", "formatter=", "offline", "online", "all", "enabled",
    "implicitly-enabled", "minimal", "verbose", "lenient", "help", "script-name=",
)  # fmt: skip


class _Call:
    """The options, by long name, and what stands after the command."""

    def __init__(self, options: Mapping[str, str], names: Sequence[str]) -> None:
        self.options = options
        self.names = BUILT_IN if "all" in options else names

    @property
    def is_quiet(self) -> bool:
        return bool({"quiet", "silent", "-q", "-s"} & self.options.keys())

    @property
    def unknown(self) -> list[str]:
        return [name for name in self.names if name not in BUILT_IN]

    def say(self, text: str) -> None:
        if not self.is_quiet:
            print(text)


def main(words: Sequence[str]) -> int:
    """Do what the command line says; gives the exit status."""
    try:
        pairs, arguments = getopt.gnu_getopt(list(words), SHORT, LONG)
    except getopt.GetoptError as error:
        print(f"Error (argument validation): {error.msg}\n\n{USAGE}", file=sys.stderr)
        return EXIT_USAGE
    options = {name.removeprefix("--"): value for name, value in pairs}
    name, *names = arguments or ["help"]
    if name == "help" or "help" in options:
        print(USAGE)
        return 0
    command = COMMANDS.get(name)
    if command is None:
        print(f"\nCommand '{name}' not found. \n\n{USAGE}", file=sys.stderr)
        return EXIT_USAGE
    return command(_Call(options, names))


def _list(call: _Call) -> int:
    pattern = call.names[0] if call.names else ".*"
    try:
        found = [name for name in BUILT_IN if re.search(pattern, name)]
    except re.error as error:
        print(f"Error:\nthe pattern {pattern!r} is wrong: {error}", file=sys.stderr)
        return EXIT_DATA
    if call.options.get("formatter") == "json":
        plugins = [{"name": name, "enabled": "enabled", "running": True} for name in found]
        print(json.dumps({"status": "running", "format": "normal", "plugins": plugins}))
        return 0
    if {"minimal", "-m"} & call.options.keys():
        print("\n".join(found))
        return 0
    call.say(f'Listing plugins with pattern "{pattern}" ...')
    call.say(" Configured: E = explicitly enabled; e = implicitly enabled\n | Status: * = running here, built in\n |/")
    for name in found:
        print(f"[E*] {name}")
    return 0


def _enable(call: _Call) -> int:
    if call.unknown:
        names = ", ".join(call.unknown)
        if "lenient" not in call.options:
            print(f"Error:\nThe following plugins could not be found: {names}", file=sys.stderr)
            return EXIT_DATA
        print(f"warning: there is nothing here that does the work of {names}", file=sys.stderr)
    call.say("The following plugins have been configured:")
    for name in call.names:
        call.say(f"  {name}")
    call.say("Built in; plugin configuration unchanged.")
    return 0


def _disable(call: _Call) -> int:
    for name in call.names:
        call.say(f"{name} is built in and stays; its listener is switched off in the configuration")
    return 0


def _is_enabled(call: _Call) -> int:
    if call.unknown:
        for name in call.unknown:
            print(f"Error:\nPlugin {name} is not enabled", file=sys.stderr)
        return EXIT_UNAVAILABLE
    for name in call.names:
        call.say(f"Plugin {name} is enabled")
    return 0


COMMANDS: Final[Mapping[str, Callable[[_Call], int]]] = {
    "list": _list,
    "enable": _enable,
    "disable": _disable,
    "set": _enable,
    "is_enabled": _is_enabled,
}
