"""A command that is refused, with the exit status that scripts look at (RabbitMQ's)."""

from __future__ import annotations

from typing import Final

EXIT_USAGE: Final = 64
EXIT_DATA: Final = 65
EXIT_NO_USER: Final = 67
EXIT_UNAVAILABLE: Final = 69
EXIT_SOFTWARE: Final = 70


class ControlError(Exception):
    """The command is not done.

    Attributes:
        status: the exit status.
        text: what standard error says, `Error:` included where RabbitMQ has it.
    """

    def __init__(self, text: str, status: int = EXIT_UNAVAILABLE, *, is_bare: bool = False) -> None:
        super().__init__(text)
        self.status = status
        self.text = text if is_bare else f"Error:\n{text}"
