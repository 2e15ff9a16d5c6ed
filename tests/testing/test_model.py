"""The reference for random operations: where the order of two errors is open, either is right."""

import pytest

from ninep.linux import Errno
from ninep.testing.suite.model import Model, ModelError


@pytest.mark.parametrize("verb", ["rename", "link"])
def test_two_paths_that_both_lead_nowhere(verb: str) -> None:
    model = Model()
    model.create((), b"file", b"")
    source = ((b"file",), b"x") if verb == "rename" else ((b"file", b"x"),)
    with pytest.raises(ModelError) as error:
        getattr(model, verb)(*source, (b"missing",), b"new")
    assert set(error.value.codes) == {Errno.ENOTDIR, Errno.ENOENT}
    assert model.list(()) == [b"file"]


def test_one_path_that_leads_nowhere() -> None:
    model = Model()
    model.create((), b"file", b"")
    for where, there in (((), (b"missing",)), ((b"missing",), ())):
        with pytest.raises(ModelError) as error:
            model.rename(where, b"file", there, b"new")
        assert error.value.codes == (Errno.ENOENT,)
