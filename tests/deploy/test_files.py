"""The files of docs/deploy: what they name is there, and the tools that read them take them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from amqp_broker.cli.aliases import MODULES
from amqp_broker.configuration.keys import KEYS
from amqp_broker.configuration.variables import variable_of

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "docs" / "deploy"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text("utf-8")


def test_the_image_is_built_from_all_that_is_packaged() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    needed = {Path(package).parts[0] for package in packages} | {"pyproject.toml", "hatch_build.py"}
    needed |= {project["project"]["readme"], *project["project"]["license-files"]}
    needed |= set(re.findall(r"^COPY (docs/\S+)", DOCKERFILE, re.MULTILINE))
    let_in = {line[1:] for line in (DEPLOY / "Dockerfile.dockerignore").read_text("utf-8").split() if line[0] == "!"}
    assert needed <= let_in
    assert all((ROOT / name).exists() for name in let_in)


def test_the_image_runs_commands_that_there_are() -> None:
    commands = [json.loads(words)[0] for words in re.findall(r"CMD (\[.*\])", DOCKERFILE)]
    assert len(commands) == 2
    assert set(commands) <= MODULES.keys()
    words = re.findall(r"command: \[(rabbitmq-\w+)", (DEPLOY / "kubernetes.yaml").read_text("utf-8"))
    assert len(words) == 3
    assert set(words) <= MODULES.keys()


def test_the_image_sets_variables_that_count() -> None:
    variables = set(re.findall(r"\b(AMQP_BROKER_\w+)=", DOCKERFILE))
    assert variables
    assert variables <= {variable_of(key.name) for key in KEYS}


def test_the_settings_of_the_image_can_be_used() -> None:
    command = [sys.executable, "-m", "amqp_broker", "config", "check", str(DEPLOY / "10-defaults.conf")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=30)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_takes_the_units(tmp_path: Path) -> None:
    for name in ("amqp-broker.service", "amqp-broker.socket"):
        text = (DEPLOY / name).read_text("utf-8")
        (tmp_path / name).write_text(re.sub(r"^ExecStart=\S+", f"ExecStart={sys.executable}", text, flags=re.MULTILINE))
    units = sorted(map(str, tmp_path.iterdir()))
    done = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
