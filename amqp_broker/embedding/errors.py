"""What can be wrong with an embedded broker."""


class BrokerStoppedError(RuntimeError):
    """It is not running: not yet, or no more."""


class BrokerCrashedError(RuntimeError):
    """It has ended by an error of its own, which is the cause of this one."""
