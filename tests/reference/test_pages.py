"""The pages of docs/reference say what the tables say."""

from __future__ import annotations

import pytest

from tests.reference.pages import DIRECTORY, PAGES


@pytest.mark.parametrize("name", PAGES)
def test_the_page_is_up_to_date(name: str) -> None:
    page = (DIRECTORY / name).read_text("utf-8")
    assert page == PAGES[name](), "run python -m tests.reference"
