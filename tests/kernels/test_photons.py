"""Photon kernels against their slow twins, on random pages of every kind and shift."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanimage_nwb.kernels import photon_maps
from scanimage_nwb.kernels.photon_bytes import COMPRESSED, FAULTS, PLAIN, RAW
from scanimage_nwb.kernels.photon_counts import count_photons
from scanimage_nwb.kernels.photon_histograms import (
    class_histogram,
    class_histogram_reference,
    read_class_histogram,
)
from scanimage_nwb.kernels.photon_lists import SPARE_PHOTONS, decode_photons, decode_photons_reference
from scanimage_nwb.kernels.photon_sums import sum_classes, sum_classes_reference
from scanimage_nwb.siff_reader.masks import find_bands, find_runs

NUM_BINS = 50


def make_block(rng: np.random.Generator, shape: tuple[int, int], n_pages: int) -> tuple[np.ndarray, np.ndarray]:
    """Return bytes of random raw and compressed pages at odd places, and their rows."""
    height, width = shape
    data, rows = b"", []
    for i in range(n_pages):
        n = int(rng.integers(0, 4 * height * width))
        pixel, delay_bin = rng.integers(0, height * width, n), rng.integers(0, NUM_BINS, n)
        data += bytes(int(rng.integers(0, 8)))
        if i % 2:
            counts = np.bincount(pixel, minlength=height * width).astype("<u2").tobytes()
            rows.append([COMPRESSED, len(data) + len(counts), 2 * n, len(data)])
            data += counts + delay_bin.astype("<u2").tobytes()
        else:
            y, x = np.divmod(pixel.astype(np.uint64), np.uint64(width))
            rows.append([RAW, len(data), 8 * n, -1])
            data += (y << np.uint64(48) | x << np.uint64(32) | delay_bin.astype(np.uint64)).tobytes()
    shifts = np.stack([rng.integers(0, height, n_pages), rng.integers(0, width, n_pages)], axis=1)
    return np.frombuffer(data, np.uint8), np.concatenate([np.array(rows), shifts], axis=1)


def decode(data: np.ndarray, rows: np.ndarray, shape: tuple[int, int], room: int = 1 << 16) -> tuple:
    """List photons; return them with the faults."""
    pixels, delay_bins = np.empty(room, np.uint32), np.empty(room, np.uint16)
    bounds, faults = np.empty(len(rows) + 1, np.int64), np.zeros((len(rows), len(FAULTS)), np.int64)
    decode_photons(data, rows, shape, NUM_BINS, pixels, delay_bins, bounds, faults)
    return pixels, delay_bins, bounds, faults


@pytest.mark.parametrize("shape", [(4, 4), (5, 7), (1, 3), (16, 12), (3, 1)])
@pytest.mark.parametrize("seed", range(3))
def test_every_kernel_agrees_with_its_reference(shape: tuple[int, int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    data, rows = make_block(rng, shape, 6)
    n_pixels = shape[0] * shape[1]
    expected = [decode_photons_reference(data, row, shape) for row in rows]
    pixels, delay_bins, bounds, faults = decode(data, rows, shape)
    counts, out = np.empty((6, n_pixels), np.uint16), field_histogram(data, rows, shape, faults)
    count_photons(data, rows, shape, counts, faults)
    mean, found = np.empty((6, n_pixels)), np.empty((6, n_pixels), np.uint16)
    photon_maps.delay_map(pixels, delay_bins, bounds, (2.0, 1.0), mean, found, faults)
    table = np.exp(1j * np.arange(NUM_BINS))
    phasor = np.empty((6, n_pixels), complex)
    photon_maps.phasor_map(pixels, delay_bins, bounds, table, phasor, found, faults)
    assert not faults.any()
    for i, (pixel, delay_bin) in enumerate(expected):
        cut = slice(bounds[i], bounds[i + 1])
        assert sorted(zip(pixels[cut], delay_bins[cut], strict=True)) == sorted(zip(pixel, delay_bin, strict=True))
        assert (counts[i] == np.bincount(pixel, minlength=n_pixels)).all()
        assert (found[i] == counts[i]).all()
        assert (out[i] == np.bincount(delay_bin, minlength=NUM_BINS)).all()
        np.testing.assert_allclose(
            mean[i], photon_maps.delay_map_reference(pixel, delay_bin, n_pixels, (2.0, 1.0)), rtol=1e-13
        )
        np.testing.assert_allclose(
            phasor[i], photon_maps.phasor_map_reference(pixel, delay_bin, n_pixels, table), rtol=1e-11, atol=1e-12
        )


@settings(max_examples=60, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 9), st.integers(1, 11)),
    n_classes=st.integers(1, 5),
    n_planes=st.integers(1, 3),
    n_groups=st.integers(1, 3),
    regions=st.sampled_from(["scattered", "blocky", "striped"]),
    seed=st.integers(0, 1 << 30),
)
def test_classes_agree_with_their_reference(
    shape: tuple[int, int], n_classes: int, n_planes: int, n_groups: int, regions: str, seed: int
) -> None:
    """Of drawn regions (runs of pixels), stripes (bands of rows) and scattered ones, page by page and together."""
    rng = np.random.default_rng(seed)
    data, rows = make_block(rng, shape, 7)
    n_pixels = shape[0] * shape[1]
    classes = rng.integers(0, n_classes, (n_planes, n_groups, n_pixels)).astype(np.uint16)
    if regions == "blocky":
        classes = np.sort(classes, axis=2)
    elif regions == "striped":
        by_row = classes.reshape(n_planes, n_groups, *shape)
        by_row[:, :, 1:-1] = by_row[:, :, :1]
    plane = rng.integers(0, n_planes, 7)
    faults = np.zeros((7, len(FAULTS)), np.int64)
    first = np.ascontiguousarray(classes[:, 0])
    runs = find_runs(first)
    sums = np.empty((7, n_groups, n_classes), np.int64)
    no_runs, no_bands = np.empty((n_planes, 0, 2), np.int64), np.empty((n_planes, 0), np.int64)
    bands = find_bands(first, shape) if regions == "striped" and n_groups == 1 else no_bands
    sum_classes(data, rows, shape, classes, runs if n_groups == 1 else no_runs, bands, plane, sums, faults)
    out, pooled = np.empty((7, n_classes - 1, NUM_BINS), np.int64), np.empty((1, n_classes - 1, NUM_BINS), np.int64)
    class_histogram(data, rows, shape, NUM_BINS, first, runs, plane, out, faults)
    class_histogram(data, rows, shape, NUM_BINS, first, runs, plane, pooled, faults)
    assert not faults.any()
    for i in range(7):
        pixel, delay_bin = decode_photons_reference(data, rows[i], shape)
        assert (sums[i] == sum_classes_reference(pixel, classes[plane[i]], n_classes)).all()
        assert (out[i] == class_histogram_reference(pixel, delay_bin, first[plane[i]], out.shape[1:])).all()
    assert (pooled[0] == out.sum(axis=0)).all()


def test_pages_are_counted_as_they_are_read(tmp_path: Path) -> None:
    """A kernel fills its buffer three times; what cannot be read is told, and what was done before stays."""
    if not hasattr(os, "pread"):
        pytest.skip("no reads at a place of a file")
    rng, shape = np.random.default_rng(3), (5, 7)
    data, rows = make_block(rng, shape, 6)
    (tmp_path / "pages").write_bytes(data.tobytes())
    begins = [min(p for p in row[[1, 3]] if p >= 0) for row in rows] + [data.size]
    pages, reads = rows.copy(), []
    for fill in range(3):  # two pages each, the second before the first
        first, second, end = begins[2 * fill : 2 * fill + 3]
        reads += [[end - second, first, second - first], [0, second, end - second]]
        pages[2 * fill, [1, 3]] += end - second - first
        pages[2 * fill + 1, [1, 3]] -= second
    pages[:, 3] = np.where(rows[:, 3] < 0, -1, pages[:, 3])
    fills, classes, plane = np.arange(0, 8, 2).repeat(2).reshape(4, 2), rng.integers(0, 3, (1, 35)), np.zeros(6, int)
    classes = classes.astype(np.uint16)
    out, faults = np.full((6, 2, NUM_BINS), -1, np.int64), np.zeros((6, len(FAULTS)), np.int64)
    own = shape, NUM_BINS, classes, find_runs(classes), plane, out, faults
    with (tmp_path / "pages").open("rb") as file:
        buffer = np.zeros(max(np.diff(begins[::2])), np.uint8)
        assert read_class_histogram(file.fileno(), fills, np.array(reads), buffer, pages, *own) == 3
        expected = [
            class_histogram_reference(*decode_photons_reference(data, row, shape), classes[0], out.shape[1:])
            for row in rows
        ]
        assert (out == expected).all()
        assert not faults.any()
        os.truncate(tmp_path / "pages", begins[4] - 1)
        out[:] = -1
        assert read_class_histogram(file.fileno(), fills, np.array(reads), buffer, pages, *own) == 1
        assert (out[:2] == expected[:2]).all()
        assert (out[2:] == -1).all()


def field_histogram(data: np.ndarray, rows: np.ndarray, shape: tuple[int, int], faults: np.ndarray) -> np.ndarray:
    """Count the photons of every page by delay, of all pixels."""
    out, classes = np.empty((len(rows), 1, NUM_BINS), np.int64), np.ones((1, shape[0] * shape[1]), np.uint16)
    plane = np.zeros(len(rows), np.int64)
    class_histogram(data, rows, shape, NUM_BINS, classes, find_runs(classes), plane, out, faults)
    return out[:, 0]


@pytest.mark.parametrize("n_runs", [1, 2, 8])
def test_delays_beyond_the_last_bin_are_counted_within_masks_and_outside(n_runs: int) -> None:
    counts, delays = np.array([9, 7, 0, 8, 0, 3, 0, 6], "<u2"), np.arange(33) % 3 + NUM_BINS - 1
    data = np.frombuffer(counts.tobytes() + delays.astype("<u2").tobytes(), np.uint8)
    rows = np.array([[COMPRESSED, 16, 66, 0, 0, 0]])
    classes = (np.arange(8) * n_runs // 8 % 2 + (n_runs == 1)).astype(np.uint16)[np.newaxis]
    runs = find_runs(classes)
    assert runs.shape[1] == (n_runs if n_runs < 8 else 0)
    out, faults = np.empty((1, 1, NUM_BINS), np.int64), np.zeros((1, len(FAULTS)), np.int64)
    class_histogram(data, rows, (2, 4), NUM_BINS, classes, runs, np.zeros(1, np.int64), out, faults)
    assert faults[0].tolist() == [0, 22, 0, 0, 0]
    within = np.repeat(classes[0], counts) == 1
    assert out.sum() == out[0, 0, -1] == (delays[within] < NUM_BINS).sum()


def test_raw_pages_of_many_photons_and_of_few() -> None:
    """They are counted with several tables, and with one; together they add up."""
    rng, shape, n_classes = np.random.default_rng(0), (16, 12), 4
    data, rows = b"", []
    for n in (20_000, 100, 9_000, 0):
        y, x, delay_bin = (rng.integers(0, most, n).astype(np.uint64) for most in (*shape, NUM_BINS))
        rows.append([RAW, len(data), 8 * n, -1, int(rng.integers(16)), int(rng.integers(12))])
        data += (y << np.uint64(48) | x << np.uint64(32) | delay_bin).tobytes()
    block, table = np.frombuffer(data, np.uint8), np.array(rows)
    classes, plane = rng.integers(0, n_classes, (1, 192)).astype(np.uint16), np.zeros(4, np.int64)
    out, pooled = np.empty((4, n_classes - 1, NUM_BINS), np.int64), np.empty((1, n_classes - 1, NUM_BINS), np.int64)
    faults = np.zeros((4, len(FAULTS)), np.int64)
    for found in (out, pooled):
        class_histogram(block, table, shape, NUM_BINS, classes, find_runs(classes), plane, found, faults)
    for i, row in enumerate(table):
        pixel, delay_bin = decode_photons_reference(block, row, shape)
        assert (out[i] == class_histogram_reference(pixel, delay_bin, classes[0], out.shape[1:])).all()
    assert (pooled[0] == out.sum(axis=0)).all()
    assert not faults.any()


def raw_page(photon: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Return a block of one raw page."""
    return np.array(photon, "<u8").view(np.uint8), np.array([[RAW, 0, 8 * len(photon), -1, 0, 0]])


def test_photons_out_of_range_are_counted_and_dropped() -> None:
    photon = [0, 4 << 48, 9 << 32, NUM_BINS, 3 << 48 | 3 << 32 | 49, 65535 << 48 | 65535 << 32 | 0xFFFFFFFF]
    data, rows = raw_page(photon)
    pixels, delay_bins, bounds, faults = decode(data, rows, (4, 4))
    assert bounds.tolist() == [0, 2]
    assert (pixels[:2].tolist(), delay_bins[:2].tolist()) == ([0, 15], [0, 49])
    assert faults[0].tolist() == [3, 1, 0, 0, 0]
    counts = np.empty((1, 16), np.uint16)
    faults[:] = 0
    count_photons(data, rows, (4, 4), counts, faults)
    assert counts.sum() == 3
    assert faults[0].tolist() == [3, 0, 0, 0, 0]
    faults[:] = 0
    assert field_histogram(data, rows, (4, 4), faults).sum() == 2
    assert faults[0].tolist() == [3, 1, 0, 0, 0]


@pytest.mark.parametrize("extra", [-1, 1])
@pytest.mark.parametrize("regions", ["scattered", "blocky", "striped"])
def test_counts_that_disagree_with_the_strip(extra: int, regions: str) -> None:
    counts = np.array([20, 0, 10, 0], "<u2").tobytes()
    strip = np.zeros(30 + extra, "<u2").tobytes()
    data, rows = np.frombuffer(counts + strip, np.uint8), np.array([[COMPRESSED, 8, len(strip), 0, 0, 0]])
    _, _, bounds, faults = decode(data, rows, (2, 2))
    assert bounds.tolist() == [0, 0]
    classes, plane = np.array([[0, 0, 1, 1] if regions == "blocky" else [0, 1, 0, 1]], np.uint16), np.zeros(1, np.int64)
    runs = np.array([[[2, 0], [4, 1]]]) if regions == "blocky" else np.empty((1, 0, 2), np.int64)
    bands = np.array([[2]]) if regions == "striped" else np.empty((1, 0), np.int64)
    geometry = classes[:, np.newaxis], runs, bands, plane
    sum_classes(data, rows, (2, 2), *geometry, np.empty((1, 1, 2), np.int64), faults)
    class_histogram(data, rows, (2, 2), NUM_BINS, classes, runs, plane, np.empty((1, 1, NUM_BINS), np.int64), faults)
    assert faults[0].tolist() == [0, 0, -3 * extra, 0, 0]


@pytest.mark.parametrize("n", [3_000, 9_000])
def test_photons_outside_and_beyond_are_told_apart(n: int) -> None:
    rng = np.random.default_rng(n)
    y, x, delay_bin = (rng.integers(0, most, n).astype(np.uint64) for most in (9, 12, 2 * NUM_BINS))
    y[:3], x[3:6], delay_bin[6:9] = 0xFFFF, 0xFFFF, 0xFFFFFFFF
    data = np.frombuffer((y << np.uint64(48) | x << np.uint64(32) | delay_bin).tobytes(), np.uint8)
    inside, within = (y < 8) & (x < 10), delay_bin < NUM_BINS
    for dy, dx in ((0, 0), (7, 9)):
        faults = np.zeros((1, len(FAULTS)), np.int64)
        found = field_histogram(data, np.array([[RAW, 0, 8 * n, -1, dy, dx]]), (8, 10), faults)
        assert faults[0].tolist() == [(~inside).sum(), (inside & ~within).sum(), 0, 0, 0]
        assert (found[0] == np.bincount(delay_bin[inside & within].astype(int), minlength=NUM_BINS)).all()


def test_overflow_is_counted() -> None:
    data, rows = raw_page([0] * 65_580)
    faults = np.zeros((1, 5), np.int64)
    counts = np.empty((1, 4), np.uint16)
    count_photons(data, rows, (2, 2), counts, faults)
    assert (counts[0, 0], faults[0, 3]) == (65_535, 45)
    listed = np.zeros(65_580, np.uint32), np.zeros(65_580, np.uint16), np.array([0, 65_580])
    photon_maps.delay_map(*listed, (1.0, 0.0), np.empty((1, 4)), counts, faults)
    assert faults[0, 3] == 90


@pytest.mark.parametrize(
    "row",
    [
        [RAW, 0, 808, -1, 0, 0],
        [RAW, -8, 8, -1, 0, 0],
        [RAW, 0, -8, -1, 0, 0],
        [RAW, 1 << 62, 1 << 62, -1, 0, 0],
        [COMPRESSED, 0, 8, 792, 0, 0],
        [COMPRESSED, 0, 8, -1, 0, 0],
        [PLAIN, 0, 8, 1 << 62, 0, 0],
        [RAW, 0, 8, -1, 9, 0],
        [RAW, 0, 8, -1, 0, -1],
    ],
)
def test_rows_that_point_outside_the_block_touch_nothing(row: list[int]) -> None:
    data, rows = np.zeros(800, np.uint8), np.array([row])
    faults = np.zeros((1, 5), np.int64)
    count_photons(data, rows, (4, 4), np.empty((1, 16), np.uint16), faults)
    assert faults[0].tolist() == [0, 0, 0, 0, 1]
    runs, plane, classes = np.array([[[8, 0], [16, 1]]]), np.zeros(1, np.int64), np.zeros((1, 1, 16), np.uint16)
    faults[:] = 0
    geometry = classes, runs, np.array([[4]]), plane
    sum_classes(data, rows, (4, 4), *geometry, np.empty((1, 1, 2), np.int64), faults)
    assert faults[0].tolist() == [0, 0, 0, 0, 1]
    if row[0] != PLAIN:
        faults[:] = 0
        out = np.empty((1, 1, NUM_BINS), np.int64)
        class_histogram(data, rows, (4, 4), NUM_BINS, classes[:, 0], runs, plane, out, faults)
        assert (faults[0].tolist(), out.sum()) == ([0, 0, 0, 0, 1], 0)
    if row[0] != PLAIN:
        _, _, bounds, faults = decode(data, rows, (4, 4))
        assert (bounds.tolist(), faults[0, 4]) == ([0, 0], 1)


def test_a_list_without_room_is_left_alone() -> None:
    data, rows = raw_page([0] * 10)
    _, _, bounds, faults = decode(data, rows, (2, 2), room=9 + SPARE_PHOTONS)
    assert (bounds.tolist(), faults[0, 4]) == ([0, 0], 1)
