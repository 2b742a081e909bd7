"""The coder of a dataset is the one that makes its data smaller."""

import zlib

import numpy as np
import pytest

from scanimage_nwb.nwb.chunk_filters import ChunkEncoder, FilterSet

RNG = np.random.default_rng(0)
COUNTS = RNG.poisson(2.0, (4, 64, 64)).astype("u2")
RAMP = np.arange(4 * 64 * 64, dtype="u4").reshape(4, 64, 64)


def encoder_for(data: np.ndarray, level: int | None = 4) -> ChunkEncoder:
    return ChunkEncoder(data.shape, data.dtype, FilterSet(shuffle=True, deflate_level=level))


@pytest.mark.parametrize(("data", "coder"), [(COUNTS, "runs"), (RAMP, "isal")])
def test_picks_the_coder_by_size(data: np.ndarray, coder: str) -> None:
    encoder = encoder_for(data)
    fitted = encoder.fitted_to([data])
    assert fitted.coder == coder
    assert len(fitted.encode(data)) == min(len(encoder.encode(data)), len(encoder_of(encoder, "runs").encode(data)))


def encoder_of(encoder: ChunkEncoder, coder: str) -> ChunkEncoder:
    return ChunkEncoder(encoder.chunk_shape, encoder.dtype, encoder.filters, coder)


def test_a_level_that_was_asked_for_is_zlibs() -> None:
    encoder = encoder_for(COUNTS, level=9).fitted_to([COUNTS])
    shuffled = COUNTS.reshape(-1).view(np.uint8).reshape(-1, 2).T.tobytes()
    assert encoder.encode(COUNTS) == zlib.compress(shuffled, 9)


def test_scratch_of_a_large_chunk_does_not_leak_into_a_small_one() -> None:
    encoder = encoder_for(COUNTS).fitted_to([COUNTS])
    encoder.encode(np.full_like(COUNTS, 0xFFFF))
    part = COUNTS[:3, :10]
    whole = np.zeros_like(COUNTS)
    whole[:3, :10] = part
    assert zlib.decompress(encoder.encode(part)) == whole.reshape(-1).view(np.uint8).reshape(-1, 2).T.tobytes()
