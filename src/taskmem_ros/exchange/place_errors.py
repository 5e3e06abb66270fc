"""What can be wrong with an exchange, or with this side of it."""

from __future__ import annotations


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
