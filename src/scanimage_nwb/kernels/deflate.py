"""Deflate for noise: Huffman codes and runs, without a search for repeated strings.

The bytes of shuffled pixels repeat by chance only. A search for repetitions (zlib, ISA-L) costs most of the time and
makes the result larger, for what it finds is longer to write than the pixels themselves. Coding each byte by its
frequency, and runs of one byte as runs, gives a plain zlib stream (RFC 1950, 1951) that is smaller and made faster.

The twin that tests compare with is zlib: it must give back the bytes that went in.
"""

import math

import numba
import numpy as np
from numpy.typing import NDArray

from scanimage_nwb.kernels.huffman import MAX_CODE_BITS, code_lengths, reversed_codes

__all__ = ["SEGMENT_BYTES", "adler32", "deflate", "deflate_bound"]

SEGMENT_BYTES = 1 << 17
"""Each segment has a code of its own: long enough that describing the code costs little."""
_LITERALS_FROM = 64
"""Where fewer than one byte in so many begins a run of four, looking for runs is not worth while."""

_RUN_BITS = 9
"""About what a run costs."""
_STORED_GAIN = 24
"""What a code makes smaller by less than one part in so many is stored as it is, and read at the speed of a copy."""
_MOST_STORED = (1 << 16) - 1

_CHECKSUM_BASE = 65_521
_CHECKSUM_BYTES = 2048
"""So many bytes add up to less than 2**32."""

_HEAD_WORDS = 24
"""The description of a code takes 17 + 9 + 48 + 4 * 298 bits, and what ends a segment up to 15."""

_END = 256
_N_SYMBOLS = 286
_LONGEST_RUN = 258
_FIRST_LENGTH = 257

_FAR = 64
"""How far back the rest of a long run is copied from. Readers copy byte by byte from nearby, and words from here."""
_FAR_SYMBOL = 11
"""Stands for a distance of 49 and what four bits more say (RFC 1951, 3.2.5)."""
_FAR_BITS = np.uint64(1 | (_FAR - 49) << 1)
_N_DISTANCES = _FAR_SYMBOL + 1
_RUN, _FAR_RUN = 1 << 9, 1 << 10
"""What tokens of runs have beside their length."""


def _length_table() -> tuple[NDArray, NDArray, NDArray]:
    """Return symbol, extra value and extra bits of every match length (RFC 1951, 3.2.5)."""
    symbol = np.zeros(_LONGEST_RUN + 1, np.uint16)
    extra = np.zeros(_LONGEST_RUN + 1, np.uint8)
    extra_bits = np.zeros(_LONGEST_RUN + 1, np.uint8)
    length, code = 3, _FIRST_LENGTH
    for bits in range(6):
        for _ in range(8 if bits == 0 else 4):
            for value in range(1 << bits):
                symbol[length], extra[length], extra_bits[length] = code, value, bits
                length += 1
                if length == _LONGEST_RUN:
                    break
            code += 1
    symbol[_LONGEST_RUN] = code
    return symbol, extra, extra_bits


_LENGTH_SYMBOL, _LENGTH_EXTRA, _LENGTH_EXTRA_BITS = _length_table()


def deflate_bound(n_bytes: int, n_planes: int) -> int:
    """Return how many 64-bit words `deflate` needs at most.

    Parameters
    ----------
    n_bytes : int
        Size of the data.
    n_planes : int
        Parts that differ in kind.

    Returns
    -------
    int
    """
    # a code of up to 9 bits a byte (a symbol more than there are bytes), and the description of each segment's code
    n_segments = n_planes + math.ceil(n_bytes / SEGMENT_BYTES)
    return n_bytes * 9 // 64 + _HEAD_WORDS * n_segments + 2


@numba.njit(cache=True, nogil=True)
def deflate(data: NDArray[np.uint8], n_planes: int, words: NDArray[np.uint64], tokens: NDArray[np.uint16]) -> int:
    """Write bytes as one zlib stream.

    Parameters
    ----------
    data : ndarray of uint8, shape (n,)
        At least one byte.
    n_planes : int
        Parts of equal size that differ in kind: after a shuffle, the first bytes of all elements, the second bytes …
    words : ndarray of uint64, shape (``deflate_bound(n, n_planes)``,)
        Filled; little endian.
    tokens : ndarray of uint16, shape (`SEGMENT_BYTES`,)
        Scratch.

    Returns
    -------
    int
        Bytes of `words` that are the stream.
    """
    frequencies = np.empty(_N_SYMBOLS, np.int64)
    lengths = np.empty(_N_SYMBOLS, np.uint8)
    codes = np.zeros(_N_SYMBOLS, np.uint16)
    # the two bytes that begin a zlib stream
    at, pending, n_pending = _put(words, np.uint64(0), np.uint64(0), np.uint64(0), np.uint64(0x0178), np.uint64(16))
    plane_bytes = (data.size + n_planes - 1) // n_planes
    first = 0
    while first < data.size:
        last = min(first + SEGMENT_BYTES, (first // plane_bytes + 1) * plane_bytes, data.size)
        segment = data[first:last]
        if _is_constant(segment):
            frequencies[:] = 0
            frequencies[_END] = 1
            n_tokens = _add_run(segment[0], segment.size, 3, tokens, 0, frequencies)
            code_lengths(frequencies, lengths)
        else:
            _count(segment, frequencies)
            code_lengths(frequencies, lengths)
            n_tokens = 0
            if _runs_pay(segment, lengths):
                n_tokens = _find_runs(segment, tokens, frequencies, lengths)
                code_lengths(frequencies, lengths)
            elif _hardly_shrinks(segment.size, frequencies, lengths):
                at, pending, n_pending = _put_stored(words, at, pending, n_pending, segment, last == data.size)
                first = last
                continue
        reversed_codes(lengths, codes)
        at, pending, n_pending = _put_code(words, at, pending, n_pending, lengths, last == data.size)
        if n_tokens:
            at, pending, n_pending = _put_tokens(words, at, pending, n_pending, tokens[:n_tokens], codes, lengths)
        else:
            at, pending, n_pending = _put_literals(words, at, pending, n_pending, segment, codes, lengths)
        first = last
    n_bits = (np.uint64(8) - (n_pending & np.uint64(7))) & np.uint64(7)
    at, pending, n_pending = _put(words, at, pending, n_pending, np.uint64(0), n_bits)
    checksum = adler32(data)
    for shift in (24, 16, 8, 0):
        byte = np.uint64((checksum >> shift) & 0xFF)
        at, pending, n_pending = _put(words, at, pending, n_pending, byte, np.uint64(8))
    words[at] = pending
    return int(at) * 8 + int(n_pending >> np.uint64(3))


@numba.njit(cache=True, nogil=True)
def adler32(data: NDArray[np.uint8]) -> int:
    """Return the checksum of a zlib stream (RFC 1950), as ``zlib.adler32`` does more slowly.

    Parameters
    ----------
    data : ndarray of uint8, shape (n,)
        The bytes before compression.

    Returns
    -------
    int
    """
    low, high = 1, 0
    for first in range(0, data.size, _CHECKSUM_BYTES):
        block = data[first : first + _CHECKSUM_BYTES]
        total, weighted = np.uint32(0), np.uint32(0)
        for i in range(block.size):
            value = np.uint32(block[i])
            total = np.uint32(total + value)
            weighted = np.uint32(weighted + np.uint32(value * np.uint32(block.size - i)))
        high = (high + block.size * low + int(weighted)) % _CHECKSUM_BASE
        low = (low + int(total)) % _CHECKSUM_BASE
    return high << 16 | low


@numba.njit(cache=True, nogil=True)
def _put(
    words: NDArray[np.uint64],
    at: np.uint64,
    pending: np.uint64,
    n_pending: np.uint64,
    value: np.uint64,
    n_bits: np.uint64,
) -> tuple[np.uint64, np.uint64, np.uint64]:
    """Append bits, lowest first; without branches, which would be mispredicted.

    `pending` holds the `n_pending` bits that do not fill word `at` yet.
    """
    merged = pending | (value << n_pending)
    words[at] = merged
    total = n_pending + n_bits
    full = total >> np.uint64(6)
    # in two steps, for a shift by 64 is none
    spilled = (value >> np.uint64(1)) >> (np.uint64(63) - n_pending)
    mask = np.uint64(0) - full
    return at + full, (spilled & mask) | (merged & ~mask), total & np.uint64(63)


@numba.njit(cache=True, nogil=True)
def _count(segment: NDArray[np.uint8], frequencies: NDArray[np.int64]) -> None:
    """Count every byte; in four tables, so that equal neighbours do not wait for each other."""
    tables = np.zeros((4, 256), np.uint32)
    whole = segment.size - segment.size % 4
    for i in range(0, whole, 4):
        tables[0, segment[i]] += 1
        tables[1, segment[i + 1]] += 1
        tables[2, segment[i + 2]] += 1
        tables[3, segment[i + 3]] += 1
    for i in range(whole, segment.size):
        tables[0, segment[i]] += 1
    frequencies[:] = 0
    frequencies[_END] = 1
    for value in range(256):
        frequencies[value] = np.int64(tables[0, value]) + tables[1, value] + tables[2, value] + tables[3, value]


@numba.njit(cache=True, nogil=True)
def _is_constant(segment: NDArray[np.uint8]) -> bool:
    """Tell whether all bytes are the same; looks at whole blocks, which processors compare quickly."""
    differ = np.uint8(0)
    for first in range(0, segment.size, 4096):
        for value in segment[first : first + 4096]:
            differ |= value ^ segment[0]
        if differ:
            return False
    return True


@numba.njit(cache=True, nogil=True)
def _shortest_run(bits: int) -> int:
    """Return from which length on a run is shorter to write as such than as bytes of so many bits each."""
    return max(3, 1 + _RUN_BITS // max(bits, 1))


@numba.njit(cache=True, nogil=True)
def _runs_pay(segment: NDArray[np.uint8], lengths: NDArray[np.uint8]) -> bool:
    """Tell whether enough bytes begin a run that looking for them is worth while."""
    shortest_code = MAX_CODE_BITS
    for value in range(256):
        if 0 < lengths[value] < shortest_code:
            shortest_code = lengths[value]
    n = 0
    if _shortest_run(shortest_code) <= 4:
        for i in range(segment.size - 3):
            n += (segment[i] == segment[i + 1]) & (segment[i] == segment[i + 2]) & (segment[i] == segment[i + 3])
    else:
        for i in range(segment.size - 9):
            n += (
                (segment[i] == segment[i + 1])
                & (segment[i] == segment[i + 2])
                & (segment[i] == segment[i + 3])
                & (segment[i] == segment[i + 4])
                & (segment[i] == segment[i + 5])
                & (segment[i] == segment[i + 6])
                & (segment[i] == segment[i + 7])
                & (segment[i] == segment[i + 8])
                & (segment[i] == segment[i + 9])
            )
    return n * _LITERALS_FROM > segment.size


@numba.njit(cache=True, nogil=True)
def _find_runs(
    segment: NDArray[np.uint8],
    tokens: NDArray[np.uint16],
    frequencies: NDArray[np.int64],
    lengths: NDArray[np.uint8],
) -> int:
    """Split a segment into bytes and runs of the byte before (marked lengths); count their symbols anew."""
    frequencies[:] = 0
    frequencies[_END] = 1
    n_tokens = 0
    i = 0
    while i < segment.size:
        value = segment[i]
        stop = i + 1
        while stop < segment.size and segment[stop] == value:
            stop += 1
        n_tokens = _add_run(value, stop - i, _shortest_run(lengths[value]), tokens, n_tokens, frequencies)
        i = stop
    return n_tokens


@numba.njit(cache=True, nogil=True)
def _add_run(
    value: int,
    n_bytes: int,
    shortest: int,
    tokens: NDArray[np.uint16],
    n_tokens: int,
    frequencies: NDArray[np.int64],
) -> int:
    """Append equal bytes: the first as it is, the others as runs where there are at least `shortest` of them."""
    tokens[n_tokens] = value
    n_tokens += 1
    left = n_bytes - 1
    while left >= shortest:
        length = min(left, _LONGEST_RUN)
        tokens[n_tokens] = length | (_FAR_RUN if min(length, n_bytes - left) >= _FAR else _RUN)
        n_tokens += 1
        frequencies[_LENGTH_SYMBOL[length]] += 1
        left -= length
    for _ in range(left):
        tokens[n_tokens] = value
        n_tokens += 1
    frequencies[value] += 1 + left
    return n_tokens


@numba.njit(cache=True, nogil=True)
def _put_code(
    words: NDArray[np.uint64],
    at: np.uint64,
    pending: np.uint64,
    n_pending: np.uint64,
    lengths: NDArray[np.uint8],
    is_last: bool,
) -> tuple[np.uint64, np.uint64, np.uint64]:
    """Begin a block (RFC 1951, 3.2.7): the length of each code, in four bits."""
    n_codes = _N_SYMBOLS
    while n_codes > _FIRST_LENGTH and lengths[n_codes - 1] == 0:
        n_codes -= 1
    # block type 2; two of twelve distances, of one bit each; all 19 code lengths are described
    head = np.uint64(is_last) | np.uint64(2 << 1) | np.uint64(n_codes - 257) << np.uint64(3)
    head |= np.uint64((_N_DISTANCES - 1) << 8 | 15 << 13)
    at, pending, n_pending = _put(words, at, pending, n_pending, head, np.uint64(17))
    # the repetitions 16, 17, 18 are not used; each of the lengths 0 to 15 has a code of four bits, its own mirror
    at, pending, n_pending = _put(words, at, pending, n_pending, np.uint64(0), np.uint64(9))
    for _ in range(16):
        at, pending, n_pending = _put(words, at, pending, n_pending, np.uint64(4), np.uint64(3))
    for symbol in range(n_codes + _N_DISTANCES):
        distance = symbol - n_codes
        bits = lengths[symbol] if distance < 0 else np.uint8(distance in (0, _FAR_SYMBOL))
        mirrored = (bits & 1) << 3 | (bits & 2) << 1 | (bits & 4) >> 1 | bits >> 3
        at, pending, n_pending = _put(words, at, pending, n_pending, np.uint64(mirrored), np.uint64(4))
    return at, pending, n_pending


@numba.njit(cache=True, nogil=True)
def _hardly_shrinks(n_bytes: int, frequencies: NDArray[np.int64], lengths: NDArray[np.uint8]) -> bool:
    """Tell whether a code for each byte is not worth while."""
    n_bits = np.int64(0)
    for value in range(256):
        n_bits += frequencies[value] * np.int64(lengths[value])
    return bool(n_bits > 8 * n_bytes - 8 * n_bytes // _STORED_GAIN)


@numba.njit(cache=True, nogil=True)
def _put_stored(
    words: NDArray[np.uint64],
    at: np.uint64,
    pending: np.uint64,
    n_pending: np.uint64,
    segment: NDArray[np.uint8],
    is_last: bool,
) -> tuple[np.uint64, np.uint64, np.uint64]:
    """Write bytes as they are, in blocks of as many as deflate allows."""
    stream = words.view(np.uint8)
    for first in range(0, segment.size, _MOST_STORED):
        part = segment[first : first + _MOST_STORED]
        ends = is_last and first + part.size == segment.size
        at, pending, n_pending = _put(words, at, pending, n_pending, np.uint64(ends), np.uint64(3))
        n_bits = (np.uint64(8) - (n_pending & np.uint64(7))) & np.uint64(7)
        at, pending, n_pending = _put(words, at, pending, n_pending, np.uint64(0), n_bits)
        size = np.uint64(part.size)
        both = (size ^ np.uint64(0xFFFF)) << np.uint64(16) | size
        at, pending, n_pending = _put(words, at, pending, n_pending, both, np.uint64(32))
        words[at] = pending
        start = np.int64(at) * 8 + np.int64(n_pending >> np.uint64(3))
        stream[start : start + part.size] = part
        stop = start + part.size
        at, n_pending = np.uint64(stop >> 3), np.uint64(8 * (stop & 7))
        # of the word that is not full yet, what is not written is zero
        pending = words[at] & ((np.uint64(1) << n_pending) - np.uint64(1))
    return at, pending, n_pending


@numba.njit(cache=True, nogil=True)
def _put_literals(
    words: NDArray[np.uint64],
    at: np.uint64,
    pending: np.uint64,
    n_pending: np.uint64,
    segment: NDArray[np.uint8],
    codes: NDArray[np.uint16],
    lengths: NDArray[np.uint8],
) -> tuple[np.uint64, np.uint64, np.uint64]:
    """Write every byte by its code, four at a time: together they have 60 bits at most."""
    whole = segment.size - segment.size % 4
    for i in range(0, whole, 4):
        a, b, c, d = segment[i], segment[i + 1], segment[i + 2], segment[i + 3]
        bits_a, bits_c = np.uint64(lengths[a]), np.uint64(lengths[c])
        bits_ab, bits_cd = bits_a + np.uint64(lengths[b]), bits_c + np.uint64(lengths[d])
        ab = np.uint64(codes[a]) | np.uint64(codes[b]) << bits_a
        cd = np.uint64(codes[c]) | np.uint64(codes[d]) << bits_c
        at, pending, n_pending = _put(words, at, pending, n_pending, ab | cd << bits_ab, bits_ab + bits_cd)
    for i in range(whole, segment.size):
        value = segment[i]
        at, pending, n_pending = _put(words, at, pending, n_pending, np.uint64(codes[value]), np.uint64(lengths[value]))
    return _put(words, at, pending, n_pending, np.uint64(codes[_END]), np.uint64(lengths[_END]))


@numba.njit(cache=True, nogil=True)
def _put_tokens(
    words: NDArray[np.uint64],
    at: np.uint64,
    pending: np.uint64,
    n_pending: np.uint64,
    tokens: NDArray[np.uint16],
    codes: NDArray[np.uint16],
    lengths: NDArray[np.uint8],
) -> tuple[np.uint64, np.uint64, np.uint64]:
    """Write bytes and runs by their codes; a run has extra bits, and a distance: one bit, 0 for 1, or that and more."""
    for token in tokens:
        if token < 256:
            value, bits = np.uint64(codes[token]), np.uint64(lengths[token])
        else:
            length = token & (_RUN - 1)
            symbol = _LENGTH_SYMBOL[length]
            bits = np.uint64(lengths[symbol])
            value = np.uint64(codes[symbol]) | np.uint64(_LENGTH_EXTRA[length]) << bits
            bits += np.uint64(_LENGTH_EXTRA_BITS[length])
            if token & _FAR_RUN:
                value |= _FAR_BITS << bits
                bits += np.uint64(5)
            else:
                bits += np.uint64(1)
        at, pending, n_pending = _put(words, at, pending, n_pending, value, bits)
    return _put(words, at, pending, n_pending, np.uint64(codes[_END]), np.uint64(lengths[_END]))
