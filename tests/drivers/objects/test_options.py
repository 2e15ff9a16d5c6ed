"""What ``s3:`` is given, found wrong before anything is served."""

from __future__ import annotations

import pytest

from ninep.drivers.objects.options import S3Options, open_s3
from ninep.errors import Refused
from ninep.options import BadOption


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (S3Options(s3_endpoint="no URL"), "Invalid endpoint"),
        (S3Options(s3_spool="/nowhere/at all"), "there is no folder '/nowhere/at all'"),
    ],
)
def test_options_that_cannot_be(options: S3Options, words: str) -> None:
    pytest.importorskip("botocore", reason="needs the extra s3")
    with pytest.raises(BadOption, match=words):
        open_s3("//bucket", options, None)


def test_a_profile_that_is_not_there() -> None:
    pytest.importorskip("botocore", reason="needs the extra s3")
    with pytest.raises(Refused, match="ProfileNotFound"):
        open_s3("//bucket", S3Options(s3_profile="no such profile"), None)
