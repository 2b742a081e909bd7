"""Many reads of a file by a kernel."""

import os
from pathlib import Path

import numpy as np
import pytest

from scanimage_nwb.kernels.positioned_reads import read_spans

pytestmark = pytest.mark.skipif(not hasattr(os, "pread"), reason="the system has no positioned reads")


@pytest.fixture
def descriptor(tmp_path: Path):
    """A file of the bytes 0 to 99, open."""
    (tmp_path / "file").write_bytes(bytes(range(100)))
    opened = os.open(tmp_path / "file", os.O_RDONLY)
    yield opened
    os.close(opened)


def test_spans_land_where_they_should(descriptor: int) -> None:
    buffer = np.full(12, 255, np.uint8)
    assert read_spans(descriptor, np.array([[8, 97, 3], [0, 10, 4], [5, 50, 0], [5, 60, 2]]), buffer) == 4
    assert buffer.tolist() == [10, 11, 12, 13, 255, 60, 61, 255, 97, 98, 99, 255]


@pytest.mark.parametrize(
    "span", [[0, 97, 4], [0, 200, 1], [0, -1, 1], [-1, 0, 1], [9, 0, 4], [0, 0, 13], [0, 0, -1], [0, 0, 1 << 62]]
)
def test_what_does_not_come_whole_or_fit_is_told(descriptor: int, span: list[int]) -> None:
    buffer = np.full(12, 255, np.uint8)
    assert read_spans(descriptor, np.array([[11, 7, 1], span, [10, 5, 1]]), buffer) == 1
    assert buffer[11] == 7
    assert buffer[10] == 255


def test_a_closed_file_is_told() -> None:
    assert read_spans(-1, np.array([[0, 0, 1]]), np.zeros(1, np.uint8)) == 0
