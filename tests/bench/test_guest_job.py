"""The tables of bench/guest_job.py, from figures."""

from __future__ import annotations

import json

import pytest
from bench.guest_job import Figures, chosen, ratios, table
from bench.guest_rows import JOB, STAGES, Row


def figures(seconds: float) -> Figures:
    return {"seconds": seconds, "server": seconds / 10, "all": seconds * 2}


def job(seconds: float) -> dict[str, Figures]:
    return {row.key: figures(seconds) for row in JOB}


RESULTS = {
    "virtio:mapped-xattr": [job(1), job(2), job(4)],
    "9pfs:mapped-xattr": [job(2), job(2), job(2)],
    "memory": [{}, {}, {}],
}
JOB_ONLY = [stage for stage in STAGES if stage.key == "job"]


def test_medians_of_each_row_and_of_the_whole_job() -> None:
    lines = table(RESULTS, JOB_ONLY, "seconds", "seconds").splitlines()
    assert lines[0] == "| seconds | virtio:mapped-xattr | 9pfs:mapped-xattr | memory |"
    assert "| unpack | 2.00 | 2.00 |  |" in lines
    assert lines[-1] == f"| the whole job | {2 * len(JOB):.2f} | {2 * len(JOB):.2f} |  |"


def test_ratios_are_of_one_round() -> None:
    """Of 1/2, 2/2 and 4/2 the median is 1; of what was not measured there is none."""
    lines = ratios(RESULTS, JOB_ONLY, "seconds", "ratio").splitlines()
    assert lines[0] == "| ratio | virtio:mapped-xattr / 9pfs:mapped-xattr |"
    assert lines[-1] == "| the whole job | 1.00 |"


def test_no_whole_job_of_a_part_of_it() -> None:
    part = {"virtio:mapped-xattr": [{"stat": figures(1)}]}
    assert table(part, JOB_ONLY, "server", "server").splitlines()[2:] == ["| stat, 1000 times | 0.10 |"]


def test_rows_by_their_keys() -> None:
    assert [(stage.key, [row.key for row in stage.rows]) for stage in chosen("stat,read,read-mmap")] == [
        ("job", ["stat"]),
        ("cache=none", ["read"]),
        ("cache=mmap", ["read-mmap"]),
    ]
    assert chosen("") == list(STAGES)
    with pytest.raises(SystemExit, match="no such row: stta"):
        chosen("stta")


def test_fio_counts_its_operations_itself() -> None:
    """Its start is not the file server's: notes may stand before the report."""
    said = "note: both iodepth >= 1\n" + json.dumps({"jobs": [{"read": {"iops": 500.0}, "write": {"iops": 0}}]})
    assert Row("x", "x", "fio", operations=2000).seconds(30.0, said) == pytest.approx(4.0)
    assert Row("x", "x", "ls").seconds(30.0, "") == pytest.approx(30.0)
