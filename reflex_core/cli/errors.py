"""How a command fails."""

from __future__ import annotations

from ..errors import ReflexError


class CliError(ReflexError):
    """What the user did or has cannot work. The text is one line that says how to mend it.

    `code` is the exit code; None: the command's usual one.
    """

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code
