"""Huffman codes of bounded length, as deflate (RFC 1951) numbers them.

`code_lengths_reference` is the slow twin.
"""

import heapq

import numba
import numpy as np
from numpy.typing import NDArray

__all__ = ["MAX_CODE_BITS", "code_lengths", "code_lengths_reference", "reversed_codes"]

MAX_CODE_BITS = 15
"""Longest code that deflate can describe."""


@numba.njit(cache=True, nogil=True)
def code_lengths(frequencies: NDArray[np.int64], lengths: NDArray[np.uint8]) -> None:
    """Find how many bits the code of each symbol has, so that the whole is as short as it can be.

    Only where an optimal code would need more than `MAX_CODE_BITS` is the result slightly longer than the shortest
    one of bounded length.

    Parameters
    ----------
    frequencies : ndarray of int64, shape (n_symbols,)
        How often each symbol occurs; at least one does.
    lengths : ndarray of uint8, shape (n_symbols,)
        Filled: bits of each code, 0 where a symbol does not occur.
    """
    rarest_first = np.empty(frequencies.size, np.int64)
    n_leaves = 0
    for symbol in range(frequencies.size):
        lengths[symbol] = 0
        if frequencies[symbol] > 0:
            k = n_leaves
            while k > 0 and frequencies[rarest_first[k - 1]] > frequencies[symbol]:
                rarest_first[k] = rarest_first[k - 1]
                k -= 1
            rarest_first[k] = symbol
            n_leaves += 1
    if n_leaves == 1:
        lengths[rarest_first[0]] = 1
        return
    n_of_length = _lengths_of_tree(frequencies, rarest_first[:n_leaves])
    k = 0
    for bits in range(MAX_CODE_BITS, 0, -1):
        for _ in range(n_of_length[bits]):
            lengths[rarest_first[k]] = bits
            k += 1


@numba.njit(cache=True, nogil=True)
def _lengths_of_tree(frequencies: NDArray[np.int64], rarest_first: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how many codes have each length.

    Two queues, both in order of weight, give the two lightest nodes each time: the leaves, and the nodes made so far.
    """
    n_leaves = rarest_first.size
    weight = np.empty(2 * n_leaves - 1, np.int64)
    parent = np.zeros(2 * n_leaves - 1, np.int64)
    for k in range(n_leaves):
        weight[k] = frequencies[rarest_first[k]]
    leaf, node = 0, n_leaves
    for new in range(n_leaves, 2 * n_leaves - 1):
        weight[new] = 0
        for _ in range(2):
            if leaf < n_leaves and (node >= new or weight[leaf] <= weight[node]):
                lightest = leaf
                leaf += 1
            else:
                lightest = node
                node += 1
            parent[lightest] = new
            weight[new] += weight[lightest]
    depth = np.zeros(2 * n_leaves - 1, np.int64)
    n_of_length = np.zeros(MAX_CODE_BITS + 1, np.int64)
    for k in range(2 * n_leaves - 3, -1, -1):
        depth[k] = depth[parent[k]] + 1
        if k < n_leaves:
            n_of_length[min(depth[k], MAX_CODE_BITS)] += 1
    _make_room(n_of_length)
    return n_of_length


@numba.njit(cache=True, nogil=True)
def _make_room(n_of_length: NDArray[np.int64]) -> None:
    """Lengthen short codes until those cut to `MAX_CODE_BITS` fit (Kraft's inequality)."""
    used = 0
    for bits in range(1, MAX_CODE_BITS + 1):
        used += n_of_length[bits] << (MAX_CODE_BITS - bits)
    while used > 1 << MAX_CODE_BITS:
        bits = MAX_CODE_BITS - 1
        while n_of_length[bits] == 0:
            bits -= 1
        # a leaf becomes a node, of it and of one of the longest codes
        n_of_length[bits] -= 1
        n_of_length[bits + 1] += 2
        n_of_length[MAX_CODE_BITS] -= 1
        used -= 1


@numba.njit(cache=True, nogil=True)
def reversed_codes(lengths: NDArray[np.uint8], codes: NDArray[np.uint16]) -> None:
    """Give the codes the numbers that deflate gives them, each with its first bit lowest, as it is written.

    Parameters
    ----------
    lengths : ndarray of uint8, shape (n_symbols,)
        Bits of each code.
    codes : ndarray of uint16, shape (n_symbols,)
        Filled where a symbol has a code.
    """
    following = np.zeros(MAX_CODE_BITS + 2, np.int64)
    for symbol in range(lengths.size):
        if lengths[symbol] > 0:
            following[lengths[symbol] + 1] += 1
    for bits in range(1, MAX_CODE_BITS + 1):
        following[bits] = (following[bits] + following[bits - 1]) << 1
    # `following[bits]` is now the first code of each length
    for symbol in range(lengths.size):
        bits = lengths[symbol]
        if bits > 0:
            code = following[bits]
            following[bits] += 1
            mirrored = 0
            for _ in range(bits):
                mirrored = (mirrored << 1) | (code & 1)
                code >>= 1
            codes[symbol] = mirrored


def code_lengths_reference(frequencies: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Find code lengths the slow way, of any length; parameters as for `code_lengths`."""
    lengths = np.zeros(len(frequencies), np.uint8)
    heap = [(int(n), [symbol]) for symbol, n in enumerate(frequencies) if n]
    if len(heap) == 1:
        lengths[heap[0][1]] = 1
    heapq.heapify(heap)
    while len(heap) > 1:
        (n_first, first), (n_second, second) = heapq.heappop(heap), heapq.heappop(heap)
        lengths[first + second] += 1
        heapq.heappush(heap, (n_first + n_second, first + second))
    return lengths
