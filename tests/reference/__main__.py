"""`python -m tests.reference` writes the pages of docs/reference that come from tables."""

from tests.reference.pages import DIRECTORY, PAGES

for name, make in PAGES.items():
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    (DIRECTORY / name).write_text(make(), "utf-8")
