"""Records for an audit, of whatever part of the program."""

import logging

import pytest

from ninep import audit


def test_a_record_has_its_fields_and_words(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "ninep.audit"):
        audit.record("unlink", path="/a", uid=1000, to=None)
    (record,) = caplog.records
    assert record.fields == {"action": "unlink", "result": "ok", "path": "/a", "uid": 1000}  # type: ignore[attr-defined]
    assert record.getMessage() == "audit action='unlink' result='ok' path='/a' uid=1000"
    assert record.asked_for is True  # type: ignore[attr-defined]


def test_nothing_is_made_while_no_log_wants_any(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "ninep.audit"):
        audit.record("unlink")
    assert caplog.records == []


def test_names_as_text() -> None:
    assert audit.text("ä".encode() + b"\xff\n") == "ä\\xff\n"
