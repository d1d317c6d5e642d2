"""Why something can't be done; the texts are those of RabbitMQ's control command."""


class AdministrationError(Exception):
    """Nothing was changed, for the reason that is the text."""


class UserNotFoundError(AdministrationError):
    """There is no user of that name."""

    def __init__(self, name: str) -> None:
        super().__init__(f'User "{name}" does not exist')


class UserExistsError(AdministrationError):
    """There is a user of that name already."""

    def __init__(self, name: str) -> None:
        super().__init__(f'User "{name}" already exists')


class VhostNotFoundError(AdministrationError):
    """There is no vhost of that name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"Virtual host {name} does not exist")


class VhostElsewhereError(AdministrationError):
    """What is in the vhost is on another node of the cluster."""

    def __init__(self, name: str) -> None:
        super().__init__(f"vhost '{name}' is on another node: ask there")


class VhostNowhereError(AdministrationError):
    """No node of the cluster has the vhost open."""

    def __init__(self, name: str) -> None:
        super().__init__(f"vhost '{name}' is on no node at present")


class TooManyVhostsError(AdministrationError):
    """There may be no further vhost."""

    def __init__(self, name: str, limit: int | None) -> None:
        super().__init__(f"cannot create vhost '{name}': vhost limit of {limit} is reached")


class ParameterNotFoundError(AdministrationError):
    """There is no parameter, or policy, of that name."""

    def __init__(self) -> None:
        super().__init__("Parameter does not exist")


class ProtectedError(AdministrationError):
    """A vhost that must not be deleted."""

    def __init__(self, name: str) -> None:
        super().__init__(f"Cannot delete virtual host '{name}': it is protected from deletion")


class InvalidValueError(AdministrationError):
    """A value that can't be: a pattern, a setting, a limit, a name."""


def validation_failed(text: str) -> InvalidValueError:
    """Put it as RabbitMQ does for policies, parameters and limits."""
    return InvalidValueError(f"Validation failed\n\n{text}\n")
