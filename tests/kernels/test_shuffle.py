"""The shuffle kernel against its slow twin and against HDF5 itself."""

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanimage_nwb.kernels.shuffle import shuffle, shuffle_reference, unshuffle

SHAPES = st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 40), st.integers(1, 70))


def run_kernel(block: np.ndarray, chunk_shape: tuple[int, ...]) -> bytes:
    """Shuffle with the kernel."""
    out = np.zeros(int(np.prod(chunk_shape)) * block.itemsize, np.uint8)
    shuffle(block, chunk_shape, out)
    return out.tobytes()


@settings(deadline=None, max_examples=60)
@given(SHAPES, st.sampled_from(["u2", "u4", "u8"]), st.permutations(range(4)), st.data())
def test_equals_slow_twin_for_any_strides_and_edges(shape, dtype, order, data) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    block = rng.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True).transpose(order)
    chunk_shape = tuple(n + data.draw(st.integers(0, 3)) for n in block.shape)
    assert run_kernel(block, chunk_shape) == shuffle_reference(block, chunk_shape)


@pytest.mark.parametrize("n_rows", [511, 512, 513, 1100])
@pytest.mark.parametrize("n_columns", [31, 32, 33])
def test_equals_slow_twin_across_tiles(n_rows: int, n_columns: int) -> None:
    block = np.arange(n_rows * n_columns, dtype="u4").reshape(1, 1, n_columns, n_rows).transpose(0, 1, 3, 2)
    chunk_shape = (1, 1, n_rows + 2, n_columns + 1)
    assert run_kernel(block, chunk_shape) == shuffle_reference(block, chunk_shape)


def test_hdf5_unshuffles_what_the_twin_shuffles(tmp_path) -> None:
    """The twin must itself be right: HDF5's own filter is the judge."""
    values = np.arange(-40, 80, dtype="i2").reshape(4, 30)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        dataset = file.create_dataset("d", shape=values.shape, dtype="i2", chunks=values.shape, shuffle=True)
        dataset.id.write_direct_chunk((0, 0), shuffle_reference(values, values.shape))
        assert (dataset[:] == values).all()


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=300), st.sampled_from(["u1", "u2", "u4", "u8"]), st.data()
)
def test_any_stretch_comes_back(values: list[int], dtype: str, data: st.DataObject) -> None:
    elements = np.array(values, "u8").astype(dtype)
    shuffled = np.frombuffer(shuffle_reference(elements, elements.shape), np.uint8)
    first = data.draw(st.integers(0, len(elements)))
    out = np.full(data.draw(st.integers(0, len(elements) - first)), 7, dtype)
    unshuffle(shuffled, len(elements), first, out)
    np.testing.assert_array_equal(out, elements[first : first + len(out)])


def test_high_bytes_far_behind_come_back() -> None:
    elements = np.zeros(10_000, np.uint32)
    elements[9_999] = 0x1020304
    out = np.full(10_000, 7, np.uint32)
    unshuffle(np.frombuffer(shuffle_reference(elements, elements.shape), np.uint8), 10_000, 0, out)
    np.testing.assert_array_equal(out, elements)
