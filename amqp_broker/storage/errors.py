"""What storage raises. Nothing here is told to a client; the server turns it into a line and an exit status."""


class StorageError(Exception):
    """Storage can't do what was asked."""


class DataDirInUse(StorageError):
    """Another broker holds the lock on the data directory."""

    def __init__(self, directory: str, holder: str) -> None:
        self.directory = directory
        self.holder = holder
        by = f" by process {holder}" if holder else ""
        super().__init__(f"data directory {directory} is in use{by}")


class UnknownFormat(StorageError):
    """A file says, with a correct checksum, that a later version of the broker wrote it."""

    def __init__(self, path: str, version: int) -> None:
        self.path = path
        self.version = version
        super().__init__(f"{path} has format version {version}, which this broker does not know")


class DamagedRecord(StorageError):
    """A record that was written whole can't be read any more."""

    def __init__(self, path: str, offset: int) -> None:
        self.path = path
        self.offset = offset
        super().__init__(f"damaged record in {path} at offset {offset}")
