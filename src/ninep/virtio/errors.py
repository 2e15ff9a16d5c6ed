"""What this floor raises."""

from __future__ import annotations


class RingError(Exception):
    """The driver broke the rules of the ring; the words say which. The device needs a reset."""
