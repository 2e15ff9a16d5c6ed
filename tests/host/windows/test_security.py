"""Descriptors of security."""

from __future__ import annotations

from ninep.host.windows.security import SYSTEM, owner_only


def test_the_owner_and_who_can_do_anything_anyhow() -> None:
    """In SDDL [MS-DTYP 2.5.1]: protected from inheritance, GENERIC_ALL for three."""
    assert owner_only("S-1-5-21-1-2-3-1001") == (
        "O:S-1-5-21-1-2-3-1001D:P(A;;GA;;;S-1-5-21-1-2-3-1001)(A;;GA;;;S-1-5-32-544)(A;;GA;;;S-1-5-18)"
    )
    assert owner_only(SYSTEM).count("(A;") == 2
