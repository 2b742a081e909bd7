"""What is read of a movie: evenly, whole chunks, within the budget; and what is made of it."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanimage_nwb.errors import FormatError
from scanimage_nwb.report.pictures import contrast, round_length, shrunk
from scanimage_nwb.report.sampling import plan_blocks, sample_movie, thinned


class Counting:
    """A movie that remembers what was read of it."""

    def __init__(self, data: np.ndarray, chunk: int) -> None:
        self.data, self.shape, self.dtype = data, data.shape, data.dtype
        self.chunks = (chunk, *data.shape[1:])
        self.read: list[int] = []

    def __getitem__(self, rows: slice) -> np.ndarray:
        self.read += range(*rows.indices(self.shape[0]))
        return self.data[rows]


@given(st.integers(1, 10_000), st.integers(1, 10**7), st.integers(1, 200), st.integers(1, 10**9), st.integers(2, 50))
def test_blocks_are_even_and_within_the_budget(
    n_samples: int, sample_bytes: int, chunk: int, budget: int, most: int
) -> None:
    blocks = plan_blocks(n_samples, sample_bytes, chunk, budget, most)
    n_blocks = -(-n_samples // chunk)
    assert 1 <= len(blocks) <= most
    assert len(blocks) == 1 or len(blocks) * chunk * sample_bytes <= budget
    assert blocks[0] == 0
    assert len(blocks) == 1 or blocks[-1] == n_blocks - 1
    steps = np.diff(blocks)
    assert steps.size == 0 or steps.max() - steps.min() <= 1


def test_sample_is_bounded_and_says_what_was_read() -> None:
    rng = np.random.default_rng(0)
    data = rng.integers(-50, 900, (100, 6, 5, 2)).astype(np.int16)
    movie = Counting(data, chunk=8)
    found = sample_movie(movie, budget_bytes=3 * 8 * 60 * 2)
    assert movie.read == found.index.tolist() == [*range(8), *range(48, 56), *range(96, 100)]
    read = data[found.index].astype(float)
    np.testing.assert_allclose(found.mean_image, read.mean(axis=0))
    np.testing.assert_allclose(found.mean, read.mean(axis=(1, 2)))
    assert (found.smallest, found.largest, found.n_pixels) == (read.min(), read.max(), read.size)
    assert found.n_samples == 100


def test_whole_movie_within_the_budget(tmp_path: Path) -> None:
    data = np.random.default_rng(1).integers(0, 9, (30, 7, 4)).astype(np.uint8)
    data[3, 2, 1] = 255
    with h5py.File(tmp_path / "a.h5", "w") as file:
        found = sample_movie(file.create_dataset("data", data=data, chunks=(7, 7, 4)))
    np.testing.assert_allclose(found.mean_image[..., 0], data.mean(axis=0))
    assert found.n_at_limit == 1
    assert len(found.index) == 30


def test_values_that_are_no_numbers() -> None:
    data = np.ones((4, 2, 3), np.float32)
    data[0] = 3
    data[1, 0, 0], data[2, 1, 1], data[:, 1, 2] = np.nan, np.inf, np.nan
    found = sample_movie(data)
    np.testing.assert_allclose(found.mean_image[..., 0], [[5 / 3, 1.5, 1.5], [1.5, 5 / 3, np.nan]])
    np.testing.assert_allclose(found.mean[:, 0], [3, 1, 1, 1])
    assert (found.smallest, found.largest) == (1, 3)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (np.zeros((0, 3, 3)), "external files"),
        (np.zeros((3, 3)), "expected"),
        (np.zeros((3, 3, 3, 3, 3)), "expected"),
        (np.zeros((3, 3, 3), complex), "complex128"),
    ],
)
def test_what_is_no_movie(data: np.ndarray, said: str) -> None:
    with pytest.raises(FormatError, match=said):
        sample_movie(data)


def test_chunks_over_all_time_are_not_read() -> None:
    class Huge:
        shape, dtype, chunks = (100_000, 512, 512), np.dtype("int16"), (100_000, 8, 8)

    with pytest.raises(FormatError, match="chunks of 100000 samples"):
        sample_movie(Huge())


@given(st.integers(1, 4000), st.integers(4, 300))
def test_thinned_keeps_the_extremes(n: int, most: int) -> None:
    y = np.random.default_rng(n).normal(size=n)
    x, thin = thinned(np.arange(n), y, most)
    assert len(x) <= max(most, 1)
    assert (thin.min(), thin.max()) == (y.min(), y.max())
    assert (np.diff(x) > 0).all()
    np.testing.assert_array_equal(y[x], thin)


def test_contrast_of_odd_images() -> None:
    assert contrast(np.full((2, 2), np.nan)) == (0, 1)
    black, white = contrast(np.r_[np.zeros(999), 5.0])
    assert (black, white) == (0, 5)


def test_shrunk_images_keep_their_mean() -> None:
    image = np.random.default_rng(2).normal(size=(60, 90))
    small = shrunk(image, 60 * 90 // 9)
    assert small.shape == (20, 30)
    assert small.mean() == pytest.approx(image.mean())
    assert shrunk(np.ones((1, 10_000)), 100).size <= 100


@given(st.floats(1e-6, 1e9))
def test_round_length(length: float) -> None:
    found = round_length(length)
    assert length / 2.5 <= found * (1 + 1e-9)
    assert found <= length * (1 + 1e-9)
