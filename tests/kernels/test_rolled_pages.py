"""Pages that are turned and mended against `numpy.roll`."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from scanimage_nwb.kernels.rolled_pages import mend_columns, mend_columns_reference, turns


@settings(max_examples=60, deadline=None)
@given(shape=st.tuples(st.integers(0, 4), st.integers(1, 9), st.integers(1, 40)), seed=st.integers(0, 1 << 30))
def test_pages_are_shifted_as_by_roll(shape: tuple[int, int, int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    pages = rng.integers(0, 256, shape).astype(np.uint8)
    shifts = rng.integers(0, shape[1:], (shape[0], 2)) * rng.integers(0, 2, (shape[0], 2))
    turned = np.array([np.roll(page, turn) for page, turn in zip(pages, turns(shifts, shape[1:]), strict=True)])
    if shape[0]:
        expected = mend_columns_reference(turned, shifts)
        np.testing.assert_array_equal(
            expected, [np.roll(page, shift, (0, 1)) for page, shift in zip(pages, shifts, strict=True)]
        )
        mend_columns(turned, shifts)
        np.testing.assert_array_equal(turned, expected)
