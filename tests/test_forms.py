"""Whether the package is compiled is decided late, but before it matters; each test asks a Python of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import amqp_broker

ROOT = Path(__file__).parents[1]

COMMAND_ONLY = """
import sys, amqp_broker.ctl.main
print(*(name for name in ("amqp_codec", "trio", "attrs", "amqp_broker.errors") if name in sys.modules))
"""

MODULE_FIRST = """
import amqp_broker.queues.queue as queue, amqp_broker
print(amqp_broker.COMPILED, not queue.__file__.endswith(".py"))
"""

COMMAND_FIRST = f"import amqp_broker.ctl.main\n{MODULE_FIRST}"


def run(program: str, **environment: str) -> str:
    path = f"{ROOT}{os.pathsep}{ROOT / 'codec'}"
    return subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": path, **environment},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout.strip()


def test_the_control_command_needs_neither_the_codec_nor_anything_of_the_broker() -> None:
    assert run(COMMAND_ONLY) == ""


@pytest.mark.parametrize("program", [MODULE_FIRST, COMMAND_FIRST])
def test_a_module_is_in_the_form_that_the_package_tells(program: str) -> None:
    assert run(program) == f"{amqp_broker.COMPILED} {amqp_broker.COMPILED}"
    assert run(program, AMQP_PURE_PYTHON="1") == "False False"


def test_what_embeds_a_broker_is_named_by_the_package() -> None:
    program = "import amqp_broker; print(callable(amqp_broker.open), hasattr(amqp_broker, 'no_such_name'))"
    assert run(program) == "True False"
