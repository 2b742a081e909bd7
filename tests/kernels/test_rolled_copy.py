"""The copy of shifted pages against `numpy.roll`."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from scanimage_nwb.kernels.rolled_copy import copy_rolled, copy_rolled_reference


@settings(max_examples=60, deadline=None)
@given(shape=st.tuples(st.integers(0, 4), st.integers(1, 9), st.integers(1, 40)), seed=st.integers(0, 1 << 30))
def test_pages_are_shifted_as_by_roll(shape: tuple[int, int, int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    pages = rng.integers(0, 256, shape).astype(np.uint8)
    shifts = rng.integers(0, shape[1:], (shape[0], 2)) * rng.integers(0, 2, (shape[0], 2))
    out = np.full_like(pages, 255)
    copy_rolled(pages, shifts, out)
    if shape[0]:
        np.testing.assert_array_equal(out, copy_rolled_reference(pages, shifts))
