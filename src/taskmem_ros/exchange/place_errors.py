"""What can be wrong with an exchange, or with this side of it."""

from __future__ import annotations

import errno

_OUR_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS)


class PlaceError(OSError):
    """An exchange cannot be used as wanted: one sentence with what, where (no password), and what to do."""


class PlaceUnreachable(PlaceError):
    """The exchange was not reached, or not in time, however often it was tried: later it may be."""


class PlaceConflict(PlaceError):
    """Under this name something else is there already."""


class PlaceDamaged(PlaceError):
    """What is there is not what its card or manifest says; it will not get better."""


class NotInPlace(PlaceError):
    """It is not there, or not whole yet."""


def is_elsewhere(error: BaseException) -> bool:
    """Whether the network or this machine's disk is to blame for an error, and not what is in the exchange:
    then it says nothing about that, and later all may be well.
    """
    if isinstance(error, PlaceUnreachable):
        return True
    return isinstance(error, PlaceError) and getattr(error.__cause__, "errno", None) in _OUR_DISK
