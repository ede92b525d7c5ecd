"""Telling trouble of the machine from damage of a record."""

import errno
import os

# Of an image itself none of these says anything: its disk, its server or this process
# fails, or it was there when it was listed.
_NAMES = (
    "EIO ESTALE ENOENT ENOTDIR ENODEV ENXIO ENOMEDIUM EREMOTEIO ENOLINK"
    " EMFILE ENFILE ENOMEM ENOBUFS EAGAIN EINTR ETIMEDOUT EHOSTDOWN EHOSTUNREACH"
    " ENETDOWN ENETUNREACH ENETRESET ENOTCONN ECONNABORTED ECONNREFUSED ECONNRESET"
    " ESHUTDOWN EPIPE"
).split()
_NUMBERS = {getattr(errno, name) for name in _NAMES if hasattr(errno, name)}
# Of these the kind alone says it, as others raise them without a number.
_KINDS = {
    MemoryError: errno.ENOMEM,
    FileNotFoundError: errno.ENOENT,
    TimeoutError: errno.ETIMEDOUT,
    ConnectionError: errno.ECONNRESET,
}


class SourceLost(OSError):
    """A data set that cannot be read any more; what was read so far holds.

    Attributes:
      name: the record at which it was noticed.
      label: its label.
      trouble: what ails the machine, in the system's words.

    Example:
      >>> print(SourceLost("cat/a.png", "cat", "Input/output error"))
      The data set cannot be read any more: 'cat/a.png' failed (Input/output error). \
It is not counted as read; when the data set is back, the run can be gone on with.
    """

    def __init__(self, name: str, label: str, trouble: str) -> None:
        super().__init__(
            f"The data set cannot be read any more: '{name}' failed ({trouble}). It "
            "is not counted as read; when the data set is back, the run can be gone "
            "on with."
        )
        self.name, self.label, self.trouble = name, label, trouble

    def __reduce__(self) -> tuple[type["SourceLost"], tuple[str, str, str]]:
        """As processes send it to each other."""
        return type(self), (self.name, self.label, self.trouble)


def trouble_of(error: Exception) -> str:
    """What ails the machine, in the system's words; "" if a record is damaged.

    Example:
      >>> trouble_of(MemoryError("1.5 GiB")) == os.strerror(errno.ENOMEM)
      True
      >>> trouble_of(OSError("broken data stream")), trouble_of(PermissionError(13, ""))
      ('', '')
    """
    number = error.errno if isinstance(error, OSError) else None
    for kind, usual in _KINDS.items():
        if isinstance(error, kind):
            number = number or usual
    return os.strerror(number) if number and number in _NUMBERS else ""
