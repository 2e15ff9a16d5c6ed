"""Reading is paused while there is any reason, and resumed after the last."""

import pytest

from ninep.server.flow import Flow, Reason


class Paused:
    """A transport that notes when it is paused and resumed."""

    def __init__(self) -> None:
        self.noted: list[str] = []

    def pause(self) -> None:
        self.noted.append("pause")

    def resume(self) -> None:
        self.noted.append("resume")


@pytest.fixture
def transport() -> Paused:
    return Paused()


def test_two_reasons_pause_once_and_both_have_to_go(transport: Paused) -> None:
    flow = Flow(transport)  # type: ignore[arg-type]
    flow.hold(Reason.FULL)
    flow.hold(Reason.IN_FLIGHT)
    flow.lift(Reason.FULL)
    flow.resume()
    assert transport.noted == ["pause"]
    flow.lift(Reason.IN_FLIGHT)
    flow.resume()
    assert transport.noted == ["pause", "resume"]


def test_it_stays_paused_until_it_is_resumed(transport: Paused) -> None:
    """The rest of a batch is served before more is read."""
    flow = Flow(transport)  # type: ignore[arg-type]
    flow.hold(Reason.SLICE)
    flow.lift(Reason.SLICE)
    assert flow.paused
    assert transport.noted == ["pause"]


def test_a_reason_that_is_none_is_lifted_for_nothing(transport: Paused) -> None:
    flow = Flow(transport)  # type: ignore[arg-type]
    flow.lift(Reason.THROTTLED)
    flow.resume()
    assert transport.noted == []


@pytest.mark.parametrize("reason", list(Reason))
def test_each_pause_is_counted_but_that_of_the_end(transport: Paused, reason: Reason) -> None:
    counted: list[Reason] = []
    flow = Flow(transport, lambda: counted.append(reason))  # type: ignore[arg-type]
    flow.hold(reason)
    assert counted == ([] if reason is Reason.STOPPING else [reason])


def test_a_transport_that_is_gone_is_left_alone(transport: Paused) -> None:
    flow = Flow(transport)  # type: ignore[arg-type]
    flow.hold(Reason.FULL)
    flow.detach()
    flow.lift(Reason.FULL)
    flow.resume()
    assert transport.noted == ["pause"]
