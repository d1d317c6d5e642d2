"""The pages of docs/reference that come from tables: keys, variables, commands."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from amqp_broker.config import Config
from amqp_broker.configuration.gathering import GATHERED
from amqp_broker.configuration.keys import KEYS, KNOWN_NAMES_FILE, Key, is_rabbitmqs
from amqp_broker.configuration.loading import HIDDEN, LISTENERS
from amqp_broker.configuration.variables import VARIABLES, variable_of
from amqp_broker.ctl.commands import COMMANDS, Command
from amqp_broker.logs import LogSettings

DIRECTORY: Final = Path(__file__).parents[2] / "docs" / "reference"

MADE: Final = "<!-- made by python -m tests.reference -->\n"


def configuration() -> str:
    """Every key and variable, and what becomes of it."""
    lines = [
        MADE,
        "# Configuration\n",
        "What counts, from the weakest to the strongest: defaults, `/etc/rabbitmq/rabbitmq.conf` (or the file of",
        "`--config` or `RABBITMQ_CONFIG_FILE`), the files `*.conf` of `/etc/rabbitmq/conf.d` (or of `--config-dir` or",
        "`RABBITMQ_CONFIG_FILES`) by name, environment variables, the command line. In a file the last line counts.",
        "`amqp-broker config check FILE` says what is wrong in a file, `amqp-broker config show` what counts and where",
        "it comes from.\n",
        "A file has lines `key = value`; `#` begins a comment, also after a value; a value in single quotes may have a",
        "`#` in it; `$(NAME)` is an environment variable or a key above. Any key can be given as `--set KEY=VALUE`,",
        "and any without `*` as a variable of our own, which is named in the table. Unlike RabbitMQ, a listener",
        "without a host is on 127.0.0.1 (`amqp_broker.host`), not on all addresses.\n",
        "A value that can't be used ends the start with exit status 2. A key that nobody knows is a warning with the",
        "nearest known key.\n",
        "## Keys\n",
        "Those that begin with `amqp_broker.` are not RabbitMQ's.\n",
        "| key | value | default | our variable | |",
        "|---|---|---|---|---|",
        *map(_key_line, KEYS),
        "\n## Variables of RabbitMQ\n",
        "| variable | does something | |",
        "|---|---|---|",
        *(
            f"| `{each.name}` | {'yes' if each.has_effect else 'no'} | "
            f"{'; '.join(filter(None, ('' if each.key is None else f'`{each.key}`', each.note)))} |"
            for each in VARIABLES
        ),
        "\n## Keys of RabbitMQ that have no effect here\n",
        "They are taken, with one line of log each.\n",
        *_without_effect(),
    ]
    return "\n".join(lines) + "\n"


def commands() -> str:
    """Every command of amqp-brokerctl."""
    lines = [
        MADE,
        "# amqp-brokerctl\n",
        "The commands of rabbitmqctl and rabbitmq-diagnostics, for a broker on the same machine. It is found by",
        "`--socket PATH`, `--data-dir DIR`, `AMQP_BROKER_SOCKET`, or in the default data directory, or else it is the",
        "one that was started last with `--memory`. `amqp-broker install-aliases DIR` puts `rabbitmqctl`,",
        "`rabbitmq-diagnostics`, `rabbitmq-queues`, `rabbitmq-streams` and `rabbitmq-upgrade`, which are all the same,",
        "into a directory, with `rabbitmq-plugins` and `rabbitmq-server`.\n",
        "Exit statuses: 0; 64 usage; 65 data; 67 no such user; 69 no broker, or a check that fails; 70 there already;",
        "75 time out.\n",
        "| command | done | |",
        "|---|---|---|",
        *(f"| `{f'{name} {command.usage}'.strip()}` | {_is_done(command)} |" for name, command in COMMANDS.items()),
        "\n## Other programs\n",
        "| program | there | |",
        "|---|---|---|",
        *(f"| `{name}` | {what} |" for name, what in OTHERS.items()),
    ]
    return "\n".join(line.replace("\\|", "|") for line in lines) + "\n"


OTHERS: Final[Mapping[str, str]] = {
    "rabbitmq-server": "yes | an alias of `amqp-broker`",
    "rabbitmq-plugins list": "yes |",
    "rabbitmq-plugins enable": "yes | what is built in is enabled; other names fail, or are a warning with `--lenient`",
    "rabbitmq-plugins disable": "yes | nothing to do here",
    "rabbitmq-plugins set": "yes | as `enable`",
    "rabbitmq-plugins is_enabled": "yes |",
    "rabbitmq-plugins directories": "no | there are no plugins to load",
    "rabbitmqadmin": "yes, as an alias | our own script, also at `/cli/rabbitmqadmin`; RabbitMQ's work as well",
}
"""Of the programs that are no other name of `amqp-brokerctl`."""


def _is_done(command: Command) -> str:
    if command.refusal:
        return f"no | {command.refusal}"
    return "yes | nothing to do here" if command.no_op else "yes |"


def _key_line(row: Key) -> str:
    name = "" if "*" in row.name else f"`{variable_of(row.name)}`"
    notes = row.note
    return f"| `{row.name}` | {row.kind.expected} | {_default(row)} | {name} | {notes} |"


def _default(row: Key) -> str:
    if row.field is None:
        return ""
    of_log = row.field.startswith("log.")
    value = getattr(LogSettings(), row.field[4:]) if of_log else getattr(Config(), row.field)
    if value is None or row.field in GATHERED or row.field == LISTENERS:
        return ""
    if row.is_secret:
        return HIDDEN
    return f"`{row.kind.show(value)}`"


def _without_effect() -> list[str]:
    ours = {row.name for row in KEYS}
    names = [name for name in KNOWN_NAMES_FILE.read_text("ascii").split() if name not in ours]
    assert all(map(is_rabbitmqs, names))
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(name.partition(".")[0], []).append(name)
    return [f"- {', '.join(f'`{name}`' for name in group)}" for group in groups.values()]


PAGES: Final[Mapping[str, Callable[[], str]]] = {
    "configuration.md": configuration,
    "amqp-brokerctl.md": commands,
}
