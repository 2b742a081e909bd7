"""Photon kernels against their slow twins, on random pages of every kind and shift."""

import numpy as np
import pytest

from scanimage_nwb.kernels import photon_maps, photons
from scanimage_nwb.kernels.photons import COMPRESSED, FAULTS, PLAIN, RAW, SPARE_PHOTONS

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
    photons.decode_photons(data, rows, shape, NUM_BINS, pixels, delay_bins, bounds, faults)
    return pixels, delay_bins, bounds, faults


@pytest.mark.parametrize("shape", [(4, 4), (5, 7), (1, 3), (16, 12), (3, 1)])
@pytest.mark.parametrize("seed", range(3))
def test_every_kernel_agrees_with_its_reference(shape: tuple[int, int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    data, rows = make_block(rng, shape, 6)
    n_pixels = shape[0] * shape[1]
    expected = [photons.decode_photons_reference(data, row, shape) for row in rows]
    pixels, delay_bins, bounds, faults = decode(data, rows, shape)
    counts, out = np.empty((6, n_pixels), np.uint16), np.empty((6, NUM_BINS), np.int64)
    photons.count_photons(data, rows, shape, 65535, counts, faults)
    photons.field_histogram(data, rows, shape, NUM_BINS, out, faults)
    mean, found = np.empty((6, n_pixels)), np.empty((6, n_pixels), np.uint16)
    assert photon_maps.delay_map(pixels, delay_bins, bounds, (2.0, 1.0), 65535, mean, found) == 0
    table = np.exp(1j * np.arange(NUM_BINS))
    phasor = np.empty((6, n_pixels), complex)
    photon_maps.phasor_map(pixels, delay_bins, bounds, table, 65535, phasor, found)
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


@pytest.mark.parametrize("small", [True, False])
def test_classes_agree_with_their_reference(small: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    shape = (6, 5)
    data, rows = make_block(rng, shape, 8)
    n_classes = 3 if small else 30
    classes = rng.integers(0, n_classes, (2, 30)).astype(np.int32)
    members = rng.random((n_classes, 4)) * (rng.random((n_classes, 4)) > 0.4)
    members[0] = 0
    pair_class, pair_mask = np.nonzero(members)
    starts = np.searchsorted(pair_class, np.arange(n_classes + 1))
    members_of = starts.astype(np.int64), pair_mask.astype(np.int32), members[pair_class, pair_mask]
    plane = rng.integers(0, 2, 8)
    pixels, delay_bins, bounds, faults = decode(data, rows, shape)
    bin_of = np.where(np.arange(NUM_BINS) < 10, -1, (np.arange(NUM_BINS) - 10) // 3).astype(np.int32)
    # Wide histograms do not fit the small table, and take the other way.
    wide = np.zeros((8, 4, int(bin_of.max()) + 1 if small else 1 << 12))
    photon_maps.class_histogram(pixels, delay_bins, bounds, classes, plane, members_of, bin_of, np.arange(8), wide)
    sums = np.empty((8, n_classes), np.int64)
    photons.sum_classes(data, rows, shape, classes, plane, sums, faults)
    weighed = np.empty((8, 4))
    photon_maps.sum_members(sums, members, weighed)
    assert not faults.any()
    np.testing.assert_allclose(weighed, photon_maps.sum_members_reference(sums, members))
    for i in range(8):
        pixel, delay_bin = photons.decode_photons_reference(data, rows[i], shape)
        own = classes[plane[i]]
        assert (sums[i] == np.bincount(own[pixel], minlength=n_classes)).all()
        kept = bin_of[delay_bin] >= 0
        expected = photon_maps.class_histogram_reference(
            pixel[kept], bin_of[delay_bin[kept]], members[own].T, wide.shape[2]
        )
        np.testing.assert_allclose(wide[i], expected, atol=1e-12)


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
    photons.count_photons(data, rows, (4, 4), 65535, counts, faults)
    assert counts.sum() == 3
    assert faults[0].tolist() == [3, 0, 0, 0, 0]
    histogram = np.empty((1, NUM_BINS), np.int64)
    photons.field_histogram(data, rows, (4, 4), NUM_BINS, histogram, faults)
    assert histogram.sum() == 2


@pytest.mark.parametrize("extra", [-1, 1])
def test_counts_that_disagree_with_the_strip(extra: int) -> None:
    counts = np.array([2, 0, 1, 0], "<u2").tobytes()
    strip = np.zeros(3 + extra, "<u2").tobytes()
    rows = np.array([[COMPRESSED, 8, len(strip), 0, 0, 0]])
    _, _, bounds, faults = decode(np.frombuffer(counts + strip, np.uint8), rows, (2, 2))
    assert bounds.tolist() == [0, 0]
    assert faults[0].tolist() == [0, 0, -extra, 0, 0]


def test_overflow_is_counted() -> None:
    data, rows = raw_page([0] * 300)
    faults = np.zeros((1, 5), np.int64)
    counts = np.empty((1, 4), np.uint16)
    photons.count_photons(data, rows, (2, 2), 255, counts, faults)
    assert (counts[0, 0], faults[0, 3]) == (255, 45)


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
    photons.count_photons(data, rows, (4, 4), 65535, np.empty((1, 16), np.uint16), faults)
    assert faults[0].tolist() == [0, 0, 0, 0, 1]
    photons.sum_classes(
        data, rows, (4, 4), np.zeros((1, 16), np.int32), np.zeros(1, np.int64), np.empty((1, 1), np.int64), faults
    )
    if row[0] != PLAIN:
        _, _, bounds, faults = decode(data, rows, (4, 4))
        assert (bounds.tolist(), faults[0, 4]) == ([0, 0], 1)


def test_a_list_without_room_is_left_alone() -> None:
    data, rows = raw_page([0] * 10)
    _, _, bounds, faults = decode(data, rows, (2, 2), room=9 + SPARE_PHOTONS)
    assert (bounds.tolist(), faults[0, 4]) == ([0, 0], 1)
