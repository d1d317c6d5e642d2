"""Compiles what every message passes through, where that is possible; leaves it plain Python, with a line, where not.

Compiled are, in place, the modules that have a `.pxd` beside them, and every `.pyx`. Hatchling calls this for
`pip install`, plain and editable; `python hatch_build.py` does the same to a checkout. What tells whether an
extension still fits its sources is `codec/amqp_codec/forms.py`.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).resolve().parent
PACKAGES = (ROOT / "codec" / "amqp_codec", ROOT / "amqp_broker")
"""Lowest first: each is compiled against the extension types of those before it."""

DIRECTIVES = {"language_level": 3, "annotation_typing": False, "nonecheck": True, "auto_pickle": False}
"""Types come from the .pxd files alone, so that an annotation never changes what the code does; and an attribute of
None is an AttributeError in both forms. Nothing here is ever pickled."""

SPECIAL_DIRECTIVES = (
    ({"freelist": 256, "no_gc": True}, {"amqp_codec.commands", "amqp_codec.properties", "amqp_broker.message"}),
    ({"freelist": 256}, {"amqp_broker.queues.entry"}),
)
"""For the modules of what each message has one of: the memory of those that have gone serves the next, and the
collector need not look at what leads nowhere back. As decorators in a `.pxd` they have no effect: where a class is
compiled as Python, Cython forgets them."""


PROBE = """
#include <Python.h>
PyMODINIT_FUNC PyInit_probe(void) { return NULL; }
"""
"""What a compiler has to be able to compile and link, or else nothing is tried that takes minutes."""


class CompileMessagePath(BuildHookInterface[Any]):
    """The build hook. What it says is seen with `pip install -v`."""

    def initialize(self, _version: str, build_data: dict[str, Any]) -> None:
        self.app.display_info("compiling the message path: one to three minutes; CC=/bin/false leaves it plain Python")
        problem = compile_in_place()
        if problem is not None:
            self.app.display_warning(f"left as plain Python, which is several times slower: {problem}")
            return
        build_data["pure_python"] = False
        build_data["infer_tag"] = True


def compile_in_place() -> str | None:
    """Compile all there is to compile; None if that went well, else why everything was left as plain Python."""
    forms = _forms()
    for package in PACKAGES:
        _remove_extensions(package, forms)
    try:
        with tempfile.TemporaryDirectory() as work:
            _compile(Path(work), forms)
    except (Exception, SystemExit) as error:  # any missing compiler, header or Cython: plain Python stays
        for package in PACKAGES:
            _remove_extensions(package, forms)
        return (str(error) or type(error).__name__).splitlines()[0]
    return None


def _compile(work: Path, forms: ModuleType) -> None:
    from Cython.Build import cythonize
    from Cython.Compiler.Options import get_directive_defaults
    from setuptools import Extension

    probe = work / "probe.c"
    probe.write_text(PROBE)
    _build(work / "probe", [Extension("probe", [str(probe)])])
    sources = [source for package in PACKAGES for source in _compiled_sources(package)]
    # Without names and tables for profilers of C, and without padding, the whole installation stays below 25 MB.
    flags = [] if sys.platform == "win32" else ["-O2", "-g0", "-fno-asynchronous-unwind-tables"]
    link_flags = ["-s", "-Wl,-z,noseparate-code"] if sys.platform == "linux" else []
    extensions = [
        Extension(_module_name(source), [str(source)], extra_compile_args=flags, extra_link_args=link_flags)
        for source in sources
    ]
    include_path = [str(package.parent) for package in PACKAGES]
    # It takes both for decorators only, and refuses them elsewhere, though they work.
    get_directive_defaults().update(freelist=0, no_gc=False)
    generated = []
    rest = {extension.name: extension for extension in extensions}
    for directives, names in (*SPECIAL_DIRECTIVES, ({}, set(rest))):
        generated += cythonize(
            [rest.pop(name) for name in sorted(names & rest.keys())],
            compiler_directives={**DIRECTIVES, **directives},
            include_path=include_path,
            build_dir=str(work / "c"),
            quiet=True,
        )
    command = _build(work, generated)
    suffix = command.get_ext_filename("")
    for package, below in zip(PACKAGES, (None, *PACKAGES), strict=False):
        files = list(package.rglob("*.pxd")) + list(package.rglob("*.pyx"))
        for source in _compiled_sources(package):
            extension = source.with_name(source.stem + suffix)
            shutil.copyfile(work / "lib" / command.get_ext_filename(_module_name(source)), extension)
            files += [source, extension]
        forms.write_manifest(package, below, suffix, set(files))


def _build(work: Path, extensions: list[Any]) -> Any:
    """Compile and link, to below `lib`; gives the command that has done it."""
    from setuptools import Distribution
    from setuptools.command.build_ext import build_ext

    command = build_ext(Distribution({"name": "amqp-broker", "ext_modules": extensions}))
    command.build_lib = str(work / "lib")
    command.build_temp = str(work / "temp")
    command.parallel = os.cpu_count()
    command.ensure_finalized()
    command.run()
    return command


def _compiled_sources(package: Path) -> list[Path]:
    described = [pxd.with_suffix(".py") for pxd in package.rglob("*.pxd")]
    return sorted([*package.rglob("*.pyx"), *(source for source in described if source.exists())])


def _module_name(source: Path) -> str:
    (root,) = (package.parent for package in PACKAGES if source.is_relative_to(package))
    return ".".join(source.relative_to(root).with_suffix("").parts)


def _remove_extensions(package: Path, forms: ModuleType) -> None:
    # The manifest first: from here on whoever starts sees plain Python.
    (package / forms.MANIFEST).unlink(missing_ok=True)
    for pattern in ("*.so", "*.pyd"):
        for extension in package.rglob(pattern):
            extension.unlink()


def _forms() -> ModuleType:
    """`amqp_codec.forms`, read from its file: the package itself is not to be imported while it is compiled."""
    spec = importlib.util.spec_from_file_location("forms", PACKAGES[0] / "forms.py")
    assert spec is not None
    assert spec.loader is not None
    forms = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(forms)
    return forms


if __name__ == "__main__":
    reason = compile_in_place()
    sys.exit(reason and f"left as plain Python: {reason}")
