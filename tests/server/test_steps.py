"""Several verbs of one request: the first may ask to be repeated in a thread, no later one."""

import logging

import pytest

from ninep.errors import Refused
from ninep.linux import Errno
from ninep.node import WouldBlock
from ninep.server.steps import Steps


def waits() -> None:
    raise WouldBlock


def refuses() -> None:
    raise Refused(Errno.ENOENT)


def test_arguments_and_results_are_those_of_the_verb() -> None:
    step = Steps()
    assert step(divmod, 7, 2) == (3, 1)
    assert step(int, "ff", base=16) == 255


def test_the_first_verb_may_ask_to_be_repeated() -> None:
    step = Steps()
    with pytest.raises(WouldBlock):
        step(waits)
    with pytest.raises(WouldBlock):  # nothing has been changed yet
        step(waits)


def test_after_a_change_the_request_is_not_repeated(caplog: pytest.LogCaptureFixture) -> None:
    step = Steps()
    step(int)
    with caplog.at_level(logging.ERROR, "ninep.server"), pytest.raises(Refused) as caught:
        step(waits)
    assert caught.value.code is Errno.EIO
    assert "waits raised WouldBlock after a change" in caplog.text


def test_an_error_of_the_first_verb_is_no_change() -> None:
    step = Steps()
    with pytest.raises(Refused):
        step(refuses)
    with pytest.raises(WouldBlock):
        step(waits)
