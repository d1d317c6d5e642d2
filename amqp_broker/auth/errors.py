"""What can be wrong before anybody logs in."""


class AuthConfigError(Exception):
    """Authentication can't be set up as configured; the text says why, in one line."""
