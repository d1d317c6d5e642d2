"""What an operator does: users, permissions, vhosts, limits, policies, parameters, definitions.

The control command, the management API and definition files all go through here: a function checks what it is
given, changes the broker, storage and all, and tells observers; and it raises `AdministrationError` with RabbitMQ's
words before anything is changed. Everything is plain `def` and done when the function returns; that storage has it
too, `broker.storage.when_durable` tells. What functions give are objects as RabbitMQ's JSON has them.
"""

from amqp_broker.administration.errors import (
    AdministrationError,
    InvalidValueError,
    ParameterNotFoundError,
    ProtectedError,
    TooManyVhostsError,
    UserExistsError,
    UserNotFoundError,
    VhostNotFoundError,
    VhostNowhereError,
)

__all__ = [
    "AdministrationError",
    "InvalidValueError",
    "ParameterNotFoundError",
    "ProtectedError",
    "TooManyVhostsError",
    "UserExistsError",
    "UserNotFoundError",
    "VhostNotFoundError",
    "VhostNowhereError",
]
