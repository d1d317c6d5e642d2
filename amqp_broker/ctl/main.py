"""`amqp-brokerctl`: a command line as rabbitmqctl and rabbitmq-diagnostics understand it, and their exit statuses."""

from __future__ import annotations

import getopt
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from amqp_broker.ctl import asking, forms, local, places
from amqp_broker.ctl.commands import COMMANDS, Command

EXIT_OK: Final = 0
EXIT_USAGE: Final = 64
EXIT_DATA: Final = 65
EXIT_UNAVAILABLE: Final = 69
EXIT_TIMEOUT: Final = 75

SHORT: Final = "n:p:qst:leuP:aE:N:d:"
LONG: Final = (
    "node=", "vhost=", "quiet", "silent", "timeout=", "longnames", "formatter=", "no-table-headers", "dry-run",
    "erlang-cookie=", "script-name=", "printer=", "socket=", "data-dir=", "help", "table-headers",
)  # fmt: skip
SHORT_NAMES: Final = {
    "-n": "node", "-p": "vhost", "-q": "quiet", "-s": "silent", "-t": "timeout", "-l": "longnames", "-e": "if-empty",
    "-u": "if-unused", "-P": "pid", "-a": "all", "-N": "number", "-d": "duration",
}  # fmt: skip
WITH_VALUE: Final = ("-n", "-p", "-t", "-P", "-E", "-N", "-d")
DEFAULT_TIMEOUT_S: Final = 60.0

Options = dict[str, Any]


class UsageError(Exception):
    """The command line has no such form; the text is the whole of what is said."""


class Call:
    """One call: a command with its arguments and options.

    Raises:
        UsageError: no such command, option, number of arguments, column.
    """

    def __init__(self, words: Sequence[str], program: str) -> None:
        self.program = program
        self.words = list(words)
        self.name = _command_among(self.words)
        if self.name not in COMMANDS:
            raise UsageError(f"\nCommand '{self.name}' not found. \n\n{overview(program)}")
        self.command: Command = COMMANDS[self.name]
        rest = list(self.words)
        rest.remove(self.name)
        self.options, self.arguments = self._parse(rest)
        self._check_arguments()

    @property
    def vhost(self) -> str:
        return str(self.options.get("vhost", "/"))

    @property
    def node(self) -> str:
        return str(self.options.get("node") or "rabbit@localhost")

    @property
    def timeout_s(self) -> float:
        """How long to wait; 300 s for what waits for a start, as rabbitmqctl."""
        text = self.options.get("timeout", "infinity")
        if text == "infinity":
            return 300.0 if self.name in ("await_startup", "wait") else DEFAULT_TIMEOUT_S
        try:
            return float(text)
        except ValueError:
            raise self._invalid(f"timeout: {text!r} is no number of seconds") from None

    @property
    def columns(self) -> tuple[str, ...]:
        """Those of the output; empty for what is no list."""
        return tuple(self._named_columns()) or self.command.columns

    @property
    def form(self) -> str:
        default = "pretty_table" if sys.stdout.isatty() and not self.is_silent else "table"
        return str(self.options.get("formatter", default))

    @property
    def is_silent(self) -> bool:
        return "silent" in self.options

    @property
    def banner(self) -> list[str]:
        """The lines before the output."""
        if not self.command.banner or self.is_silent or "quiet" in self.options or self.form in ("json", "csv"):
            return []
        known = {
            "node": self.node,
            "vhost": self.vhost,
            "timeout_s": f"{self.timeout_s:.1f}",
            "timeout_ms": f"{self.timeout_s * 1000:.0f}",
            "rest": ", ".join(self.arguments[1:]),
            "last": self.arguments[-1] if self.arguments else "",
            "priority": self.options.get("priority", "0"),
            "user": self.options.get("user", ""),
        }
        first, second, third = [*self.arguments, "", "", ""][:3]
        template = _other_banner(self) or self.command.banner
        return template.format(first, second, third, **known).split("|") if "{" in template else [template]

    @property
    def request(self) -> dict[str, Any]:
        arguments = [] if self.command.more_columns is not None else self.arguments
        return {
            "command": self.name,
            "vhost": self.vhost,
            "arguments": arguments,
            "options": {name: value for name, value in self.options.items() if name not in ("vhost", "node")},
            "columns": self.columns,
            "node": self.options.get("node", ""),
        }

    @property
    def socket_path(self) -> Path | None:
        if "socket" in self.options:
            return Path(self.options["socket"])
        if "data-dir" in self.options:
            return places.socket_of_directory(Path(self.options["data-dir"]))
        named = os.environ.get("AMQP_BROKER_SOCKET")
        return Path(named) if named else None

    def _parse(self, words: list[str]) -> tuple[Options, list[str]]:
        try:
            pairs, arguments = getopt.gnu_getopt(words, SHORT, [*LONG, *self.command.options])
        except getopt.GetoptError as error:
            dashes = "--" if len(error.opt) > 1 else "-"
            raise self._invalid(f"Invalid options for this command:\n{dashes}{error.opt} : ") from None
        options: Options = {}
        for option, value in pairs:
            name = SHORT_NAMES.get(option, option.removeprefix("--"))
            options[name] = value if f"{name}=" in LONG + self.command.options else value or True
        form = options.get("formatter", "table")
        if form not in forms.FORMATS:
            raise self._invalid(f"unknown formatter {form}; there are {', '.join(forms.FORMATS)}")
        return options, arguments

    def _check_arguments(self) -> None:
        fewest, most = self.command.arguments
        if len(self.arguments) < fewest:
            raise self._invalid("not enough arguments.")
        if most is not None and len(self.arguments) > most:
            raise self._invalid("too many arguments.")
        if self.command.more_columns is not None:
            known = {*self.command.columns, *self.command.more_columns}
            unknown = [name for name in self._named_columns() if name not in known]
            if unknown:
                raise self._invalid(f"Info key(s) {','.join(unknown)} are not supported")
        _ = self.timeout_s

    def _named_columns(self) -> list[str]:
        if self.command.more_columns is None:
            return []
        return [name for argument in self.arguments for name in argument.split(",") if name]

    def _invalid(self, text: str) -> UsageError:
        return UsageError(
            f"Error (argument validation): {text}\nArguments given:\n\t{' '.join(self.words)}\n\n"
            f"{usage_of(self.program, self.name)}"
        )


def main(words: Sequence[str] | None = None) -> int:
    """Run one command; gives the exit status."""
    program = _program()
    given = sys.argv[1:] if words is None else words
    if program == "rabbitmq-plugins":
        from amqp_broker.ctl import plugins

        return plugins.main(given)
    try:
        call = Call(given, program)
    except UsageError as error:
        print(error, file=sys.stderr)
        return EXIT_USAGE
    try:
        return _run(call)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # whoever read has seen enough
        return EXIT_OK
    except KeyboardInterrupt:
        return 130


def _run(call: Call) -> int:
    if call.command.refusal:
        print(f"Error:\n{call.command.refusal}", file=sys.stderr)
        return EXIT_USAGE
    if call.name == "help" or "help" in call.options:
        topic = call.arguments[0] if call.name == "help" and call.arguments else call.name
        print(overview(call.program) if topic == "help" else usage_of(call.program, topic))
        return EXIT_OK
    for line in call.banner:
        print(line)
    sys.stdout.flush()
    if "dry-run" in call.options:
        return EXIT_OK
    if call.command.no_op:
        if call.command.no_op.strip():
            print(call.command.no_op)
        return EXIT_OK
    try:
        if call.name in local.COMMANDS:
            return local.COMMANDS[call.name](call)
        make_request = local.REQUESTS.get(call.name)
        request = call.request if make_request is None else make_request(call)
        with asking.connect(call.socket_path, call.timeout_s) as connection:
            answers = asking.ask(connection, request)
            if call.name in local.ANSWERS:
                return local.ANSWERS[call.name](call, answers, Path(connection.getpeername()))
            show(call, answers)
    except asking.FailedError as error:
        print(error, file=sys.stderr)
        return error.status
    except asking.NotReachableError as error:
        return _not_reachable(call, str(error))
    except TimeoutError:
        print(
            f"Error: operation {call.name} on node {call.node} timed out. Timeout value used: {call.timeout_s:g}",
            file=sys.stderr,
        )
        return EXIT_TIMEOUT
    except local.InputError as error:
        print(f"Error:\n{error}", file=sys.stderr)
        return EXIT_DATA
    return EXIT_OK


def show(call: Call, answers: Iterable[dict[str, Any] | str]) -> None:
    """Print what the broker answers, as it comes."""
    if call.columns:
        headers = not call.is_silent and "no-table-headers" not in call.options
        rows = (answer for answer in answers if isinstance(answer, dict))
        for line in forms.lines_of(call.form, call.columns, rows, headers=headers):
            print(line)
        return
    for answer in answers:
        print(answer if isinstance(answer, str) else forms.one(answer))


def usage_of(program: str, name: str) -> str:
    """How a command is called."""
    command = COMMANDS.get(name)
    if command is None:
        return f"Command '{name}' not found."
    words = f"{name} {command.usage}".strip()
    return f"Usage\n\n{program} [--node <node>] [--longnames] [--quiet] {words} [--timeout <timeout>]"


def overview(program: str) -> str:
    """All commands."""
    diagnostic = [name for name, command in COMMANDS.items() if command.is_diagnostic]
    others = [name for name, command in COMMANDS.items() if not command.is_diagnostic]
    return "\n".join(
        (
            "Usage\n",
            f"{program} [--node <node>] [--timeout <timeout>] [--longnames] [--quiet] <command> [<command options>]\n",
            "Available commands:\n",
            *(f"   {name}" for name in sorted(others)),
            "\nObservability and health checks:\n",
            *(f"   {name}" for name in sorted(diagnostic)),
            f"\nUse '{program} help <command>' to learn more about a specific command",
        )
    )


def _program() -> str:
    name = Path(sys.argv[0]).name
    return name if name.startswith("rabbitmq") else "amqp-brokerctl"


def _command_among(words: Sequence[str]) -> str:
    """The first word that is neither an option nor the value of one."""
    with_value = {*WITH_VALUE, *(f"--{name[:-1]}" for name in LONG if name.endswith("="))}
    iterator: Iterator[str] = iter(words)
    for word in iterator:
        if word in with_value:
            next(iterator, None)
        elif not word.startswith("-"):
            return word
    return "help"


def _other_banner(call: Call) -> str:
    """Some commands begin otherwise with some options."""
    if "global" in call.options:
        return {
            "list_vhost_limits": "Listing limits for all vhosts ...",
            "list_user_limits": "Listing limits for all users ...",
            "close_all_connections": "Closing all connections to node {node} (across all vhosts), reason: {0}...",
        }.get(call.name, "")
    if call.name == "list_user_limits" and "user" not in call.options:
        return "Listing limits for all users ..."
    if call.name == "import_definitions" and (not call.arguments or call.arguments == ["-"]):
        return "Importing definitions in JSON from standard input ..."
    return ""


def _not_reachable(call: Call, tried: str) -> int:
    print(
        f"Error: unable to perform an operation on node '{call.node}': no broker answers ({tried}). "
        "Is amqp-broker running, under the same user? Name its directory with --data-dir, or its socket with --socket.",
        file=sys.stderr,
    )
    return EXIT_UNAVAILABLE


if __name__ == "__main__":
    sys.exit(main())
