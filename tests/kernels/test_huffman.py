"""Huffman codes: optimal where they may be, decodable always."""

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from scanimage_nwb.kernels.huffman import MAX_CODE_BITS, code_lengths, code_lengths_reference, reversed_codes

FREQUENCIES = st.lists(st.integers(0, 1000), min_size=1, max_size=290).filter(any)


def lengths_of(frequencies: np.ndarray) -> np.ndarray:
    lengths = np.full(len(frequencies), 99, np.uint8)
    code_lengths(frequencies, lengths)
    return lengths


@settings(deadline=None)
@given(FREQUENCIES)
def test_as_short_as_the_reference(frequencies: list[int]) -> None:
    counts = np.array(frequencies, np.int64)
    ours, theirs = lengths_of(counts), code_lengths_reference(counts)
    assert np.array_equal(ours > 0, counts > 0)
    assert (ours.astype(int) * counts).sum() == (theirs.astype(int) * counts).sum()


def test_codes_of_symbols_that_are_very_rare_are_cut_to_what_deflate_can_describe() -> None:
    fibonacci = [1, 1]
    while len(fibonacci) < 40:
        fibonacci.append(fibonacci[-1] + fibonacci[-2])
    counts = np.array(fibonacci, np.int64)
    assert code_lengths_reference(counts).max() > MAX_CODE_BITS
    lengths = lengths_of(counts).astype(int)
    assert lengths.max() == MAX_CODE_BITS
    assert (2.0**-lengths).sum() == 1, "every sequence of bits means something, and one thing only"
    assert (lengths * counts).sum() < 1.02 * (code_lengths_reference(counts).astype(int) * counts).sum()
    assert np.all(np.diff(lengths) <= 0), "the rarest have the longest codes"


@settings(deadline=None)
@given(FREQUENCIES)
def test_no_code_begins_another(frequencies: list[int]) -> None:
    lengths = lengths_of(np.array(frequencies, np.int64))
    codes = np.zeros(len(lengths), np.uint16)
    reversed_codes(lengths, codes)
    written = sorted(
        format(code, f"0{bits}b")[::-1] for code, bits in zip(codes.tolist(), lengths.tolist(), strict=True) if bits
    )
    assert not any(after.startswith(code) for code, after in itertools.pairwise(written))


def test_codes_are_numbered_as_in_the_example_of_rfc_1951() -> None:
    lengths = np.array([3, 3, 3, 3, 3, 2, 4, 4], np.uint8)
    codes = np.zeros(8, np.uint16)
    reversed_codes(lengths, codes)
    written = [format(code, f"0{bits}b")[::-1] for code, bits in zip(codes.tolist(), lengths.tolist(), strict=True)]
    assert written == ["010", "011", "100", "101", "110", "00", "1110", "1111"]
