from __future__ import annotations

import os
from pathlib import Path

import pytest

from amqp_broker.storage.errors import DataDirInUse
from amqp_broker.storage.lock import DirectoryLock


def test_second_lock_is_refused_and_names_the_holder(tmp_path: Path) -> None:
    directory = str(tmp_path / "data")
    with DirectoryLock(directory):
        with pytest.raises(DataDirInUse) as refusal:
            DirectoryLock(directory)
        assert refusal.value.holder == str(os.getpid())
    DirectoryLock(directory).release()
