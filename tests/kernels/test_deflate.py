"""The kernel's streams are plain zlib: what went in comes out, and noise becomes smaller than zlib makes it."""

import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanimage_nwb.kernels.deflate import SEGMENT_BYTES, adler32, deflate, deflate_bound


def stream_of(data: np.ndarray, n_planes: int = 1) -> bytes:
    n_words = deflate_bound(data.size, n_planes)
    words = np.full(n_words + 1000, 0xA5A5A5A5A5A5A5A5, np.uint64)
    n_bytes = deflate(data, n_planes, words, np.empty(SEGMENT_BYTES, np.uint16))
    assert np.all(words[n_words:] == 0xA5A5A5A5A5A5A5A5), "nothing is written beyond the bound"
    return words.view(np.uint8)[:n_bytes].tobytes()


def back(stream: bytes) -> np.ndarray:
    inflater = zlib.decompressobj()
    data = inflater.decompress(stream)
    assert inflater.eof
    assert inflater.unused_data == b""
    return np.frombuffer(data, np.uint8)


RUNS = st.lists(st.tuples(st.integers(0, 255), st.integers(1, 700)), min_size=1, max_size=60)


@settings(deadline=None, max_examples=200)
@given(RUNS, st.integers(1, 8))
def test_runs_of_any_length_come_back(runs: list[tuple[int, int]], n_planes: int) -> None:
    data = np.concatenate([np.full(n, value, np.uint8) for value, n in runs])
    assert np.array_equal(back(stream_of(data, n_planes)), data)


@settings(deadline=None, max_examples=200)
@given(st.binary(min_size=1, max_size=5000), st.integers(1, 8))
def test_any_bytes_come_back(data: bytes, n_planes: int) -> None:
    assert back(stream_of(np.frombuffer(data, np.uint8), n_planes)).tobytes() == data


@pytest.mark.parametrize("n_values", [1, 2, 3, 17, 256])
@pytest.mark.parametrize("n_bytes", [1, 2, SEGMENT_BYTES - 1, SEGMENT_BYTES, SEGMENT_BYTES + 1, 3 * SEGMENT_BYTES + 7])
def test_noise_over_several_segments_comes_back(n_values: int, n_bytes: int) -> None:
    data = np.random.default_rng(n_bytes).integers(0, n_values, n_bytes).astype(np.uint8)
    assert np.array_equal(back(stream_of(data)), data)


def test_a_byte_much_rarer_than_another_comes_back() -> None:
    """Frequencies like Fibonacci's ask for codes longer than deflate has."""
    sizes = [1, 1]
    while sum(sizes) < SEGMENT_BYTES:
        sizes.append(sizes[-1] + sizes[-2])
    data = np.random.default_rng(0).permutation(np.repeat(np.arange(len(sizes)), sizes)).astype(np.uint8)
    assert np.array_equal(back(stream_of(data)), data)


@pytest.mark.parametrize("mean", [0.05, 0.7, 3.0, 20.0])
def test_shuffled_photon_counts_are_smaller_than_zlib_makes_them(mean: float) -> None:
    counts = np.random.default_rng(0).poisson(mean, 200_000).astype("<u2")
    shuffled = np.ascontiguousarray(counts.view(np.uint8).reshape(-1, 2).T).reshape(-1)
    stream = stream_of(shuffled, 2)
    assert np.array_equal(back(stream), shuffled)
    assert len(stream) < 0.95 * len(zlib.compress(shuffled.tobytes(), 4))


def test_bytes_that_cannot_be_compressed_hardly_grow() -> None:
    data = np.random.default_rng(0).integers(0, 256, 1_000_000).astype(np.uint8)
    assert len(stream_of(data)) < 1.005 * data.size


def test_a_constant_takes_next_to_no_room() -> None:
    assert len(stream_of(np.zeros(1_000_000, np.uint8))) < 4500


@settings(deadline=None)
@given(st.binary(max_size=10_000))
def test_checksum_is_that_of_zlib(data: bytes) -> None:
    assert adler32(np.frombuffer(data, np.uint8)) == zlib.adler32(data)


def test_checksum_of_the_largest_bytes_does_not_overflow() -> None:
    data = np.full(1_000_003, 255, np.uint8)
    assert adler32(data) == zlib.adler32(data.tobytes())


@pytest.mark.parametrize("n_bytes", [1, 65_535, 65_536, 3 * SEGMENT_BYTES + 7])
@pytest.mark.parametrize("n_planes", [1, 2, 3])
def test_noise_is_stored_as_it_is(n_bytes: int, n_planes: int) -> None:
    """Such as the low bytes of delays: read at the speed of a copy."""
    rng = np.random.default_rng(n_bytes)
    low, high = rng.integers(0, 240, n_bytes).astype(np.uint8), (rng.random(n_bytes) < 0.2).astype(np.uint8)
    data = np.concatenate([low, high, high[:0] if n_planes < 3 else low])
    stream = stream_of(data, n_planes)
    assert np.array_equal(back(stream), data)
    if n_planes > 1 and n_bytes > 60_000:
        assert low[:60_000].tobytes() in stream
