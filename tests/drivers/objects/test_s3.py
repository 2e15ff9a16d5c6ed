"""What is asked of S3."""

from __future__ import annotations

from email.header import decode_header, make_header

import pytest

pytest.importorskip("botocore", reason="needs the extra s3")

from ninep.drivers.objects.s3 import ascii_metadata


@pytest.mark.parametrize("text", ["caf\u00e9", "\u20ac \U0001f600"])
def test_metadata_of_others_beyond_ascii_are_sent(text: str) -> None:
    """The library takes ASCII alone, and an object with anything else could not be changed."""
    sent = ascii_metadata({"mode": "33188", "title": text.encode().decode("latin-1")})
    assert sent["mode"] == "33188"
    assert sent["title"].isascii()
    assert str(make_header(decode_header(sent["title"]))) == text
