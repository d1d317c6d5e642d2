"""The one error of this room."""


class ConfigError(Exception):
    """A setting that can't be used: where it stands, what it is, what was expected."""
