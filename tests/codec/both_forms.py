"""The codec twice in one process: as it was imported, and as plain Python."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from types import ModuleType
from unittest import mock

import amqp_codec
from amqp_codec.forms import PURE_VARIABLE


def _import_plain() -> ModuleType:
    """A second copy of the package; none of its classes are those of the first."""
    folders = dict(sys.path_importer_cache)
    ours = {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] == "amqp_codec"}
    try:
        with mock.patch.dict(os.environ, {PURE_VARIABLE: "1"}):
            return import_module("amqp_codec")
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == "amqp_codec"]:
            del sys.modules[name]
        sys.modules.update(ours)
        for folder in amqp_codec.__path__:
            sys.path_importer_cache[folder] = folders[folder]


plain = amqp_codec if not amqp_codec.COMPILED else _import_plain()
"""The package as plain Python. Its classes are its own, so compare by `repr`."""
