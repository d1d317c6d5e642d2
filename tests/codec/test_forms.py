import os
import subprocess
import sys
from pathlib import Path

import pytest

import amqp_codec
from amqp_codec.forms import MANIFEST, PURE_VARIABLE, why_not_compiled, write_manifest

SUFFIX = ".abi3.so" if sys.platform != "win32" else ".pyd"

SHOW_FORM = "import amqp_codec, amqp_codec.commands as c; print(amqp_codec.COMPILED, c.__file__.endswith('.py'))"


def import_codec(**environment: str) -> subprocess.CompletedProcess[str]:
    folder = str(Path(amqp_codec.__path__[0]).parent)
    return subprocess.run(
        [sys.executable, "-c", SHOW_FORM],
        env={**os.environ, PURE_VARIABLE: "", "PYTHONPATH": folder, **environment},
        capture_output=True,
        text=True,
        check=True,
    )


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package that was compiled."""
    (tmp_path / "inner").mkdir()
    files = [tmp_path / "a.py", tmp_path / "a.pxd", tmp_path / "inner" / f"a{SUFFIX}"]
    for file in files:
        file.write_text("old\n")
    write_manifest(tmp_path, None, SUFFIX, files)
    return tmp_path


def test_the_variable_chooses_plain_python() -> None:
    result = import_codec(**{PURE_VARIABLE: "1"})
    assert (result.stdout, result.stderr) == ("False True\n", "")


@pytest.mark.skipif(not amqp_codec.COMPILED, reason="not compiled here")
def test_without_the_variable_the_compiled_form_is_chosen() -> None:
    assert import_codec().stdout == "True False\n"


def test_unchanged_sources_fit(package: Path) -> None:
    assert why_not_compiled(package) is None
    (package / "a.py").write_bytes(b"old\r\n")
    assert why_not_compiled(package) is None


@pytest.mark.parametrize("name", ["a.py", "a.pxd"])
def test_a_changed_source_is_never_hidden_by_its_extension(package: Path, name: str) -> None:
    before = (package / name).stat()
    (package / name).write_text("new\n")
    os.utime(package / name, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert why_not_compiled(package) == f"{name} has changed after it was compiled"


def test_a_missing_file_makes_it_plain(package: Path) -> None:
    (package / "inner" / f"a{SUFFIX}").unlink()
    assert why_not_compiled(package) == f"inner/a{SUFFIX} is missing"


def test_another_python_finds_nothing_compiled(package: Path) -> None:
    write_manifest(package, None, ".cpython-27.so", [])
    assert why_not_compiled(package) == ""


def test_without_a_manifest_nothing_is_compiled(package: Path) -> None:
    (package / MANIFEST).unlink()
    assert why_not_compiled(package) == ""


def test_it_is_stale_when_what_is_below_was_compiled_again(package: Path, tmp_path: Path) -> None:
    upper = tmp_path / "upper"
    upper.mkdir()
    write_manifest(upper, package, SUFFIX, [])
    assert why_not_compiled(upper, package) is None
    write_manifest(package, None, SUFFIX, [])
    assert why_not_compiled(upper, package) == f"it was compiled against another {package.name}"
