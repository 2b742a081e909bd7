"""Pages of synthetic .siff files: their photons, drawn from a decay, and their bytes.

Shares no code with the readers of this package.
"""

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from .bigtiff_bytes import ASCII, LONG8, RATIONAL, Tag, short

__all__ = ["PhotonPage", "Scene", "delay_table", "draw_scene", "draw_uniform", "make_page", "page_bytes"]

Scene = Callable[[int, int, int], NDArray[np.floating]]
"""Photons expected of each pixel, from page, height and width; see `write_siff_recording`."""

_SIFF_COMPRESS: Final = 907
_IRF_MEAN_S, _IRF_SIGMA_S = 1.5e-9, 0.08e-9
_DELAY_TABLE_SIZE: Final = 1 << 16


@dataclass(frozen=True, slots=True, eq=False)
class PhotonPage:
    """One page's photons, or the counts of a plain page."""

    kind: str
    pixel: NDArray[np.uint32]
    delay_bin: NDArray[np.uint16]
    counts: NDArray[np.uint32]


def delay_table(lifetime_s: float, num_bins: int, bin_s: float, period_s: float) -> NDArray[np.uint16]:
    """Return delay bins at equal steps of probability: drawing an index at random draws from the decay."""
    n_period = max(1, round(period_s / bin_s))
    delay_s = (np.arange(n_period) + 0.5) * bin_s
    irf = np.exp(-0.5 * ((delay_s - _IRF_MEAN_S) / _IRF_SIGMA_S) ** 2)
    decay = np.exp(-delay_s / lifetime_s)
    wrapped = np.fft.irfft(np.fft.rfft(irf) * np.fft.rfft(decay), n_period).clip(0)
    cumulative = np.cumsum(wrapped) / wrapped.sum()
    bins = np.searchsorted(cumulative, (np.arange(_DELAY_TABLE_SIZE) + 0.5) / _DELAY_TABLE_SIZE)
    return np.minimum(bins, num_bins - 1).astype(np.uint16)


def draw_uniform(
    rng: np.random.Generator,
    n_photons: NDArray[np.int64],
    shape: tuple[int, int],
    tables: Sequence[NDArray[np.uint16]],
    n_channels: int,
) -> Iterator[tuple[NDArray[np.uint32], NDArray[np.uint16]]]:
    """Yield pixels and delay bins of the photons of each page: anywhere on it, from the decay of its channel."""
    for page, n in enumerate(n_photons.tolist()):
        table = tables[page % n_channels % len(tables)]
        pixel = rng.integers(0, shape[0] * shape[1], n, np.uint32)
        yield pixel, table[rng.integers(0, _DELAY_TABLE_SIZE, n, np.uint16)]


def draw_scene(
    rng: np.random.Generator,
    n_pages: int,
    scene: Scene,
    shape: tuple[int, int],
    tables: Sequence[NDArray[np.uint16]],
) -> Iterator[tuple[NDArray[np.uint32], NDArray[np.uint16]]]:
    """Yield pixels and delay bins of the photons of each page: Poisson counts about what the scene expects."""
    for page in range(n_pages):
        counts = rng.poisson(scene(page, *shape)).reshape(len(tables), -1)
        pixel = np.repeat(np.tile(np.arange(counts.shape[1]), len(tables)), counts.reshape(-1))
        component = np.repeat(np.arange(len(tables)), counts.sum(axis=1))
        order = np.argsort(pixel, kind="stable")
        delay_bin = np.stack(tables)[component[order], rng.integers(0, _DELAY_TABLE_SIZE, pixel.size, np.uint16)]
        yield pixel[order].astype(np.uint32), delay_bin


def make_page(kind: str, pixel: NDArray[np.uint32], delay_bin: NDArray[np.uint16], n_pixels: int) -> PhotonPage:
    """Return a page of these photons; those of a compressed or plain one go pixel after pixel.

    Photons that come in another order are all of one decay, so that any may have any delay.
    """
    if kind not in ("raw", "compressed", "plain", "smaller"):
        raise ValueError(f"page_kinds holds {kind!r}; expected 'raw', 'compressed', 'plain' or 'smaller'")
    if kind == "smaller":
        kind = "compressed" if 2 * pixel.size + 2 * n_pixels < 8 * pixel.size else "raw"
    counts = np.bincount(pixel, minlength=n_pixels).astype(np.uint32)
    if kind != "raw":
        pixel = np.repeat(np.arange(n_pixels, dtype=np.uint32), counts)
    return PhotonPage(kind, pixel, delay_bin, counts)


def page_bytes(
    page: PhotonPage,
    shape: tuple[int, int],
    text: bytes,
    spans: dict[int, tuple[int, int]],
    position: int,
    is_last: bool,
) -> bytes:
    """Return directory, text, counts and strip of one page that begins at `position`."""
    counts, strip = b"", b""
    if page.kind == "raw":
        y, x = np.divmod(page.pixel.astype(np.uint64), np.uint64(shape[1]))
        strip = (y << np.uint64(48) | x << np.uint64(32) | page.delay_bin).astype("<u8").tobytes()
    elif page.kind == "compressed":
        counts, strip = page.counts.astype("<u2").tobytes(), page.delay_bin.astype("<u2").tobytes()
    else:
        strip = page.counts.astype("<u2").tobytes()
    n_tags = 18 if page.kind == "plain" else 19
    text_at = position + 8 + 20 * n_tags + 8
    strip_at = text_at + len(text) + len(counts)
    tags = _page_tags(page.kind, shape, (text_at, len(text)), (strip_at, len(strip)), spans)
    directory = struct.pack("<Q", len(tags)) + b"".join(struct.pack("<2HQ8s", *tag) for tag in tags)
    following = 0 if is_last else strip_at + len(strip)
    return directory + struct.pack("<Q", following) + text + counts + strip


def _page_tags(
    kind: str,
    shape: tuple[int, int],
    text: tuple[int, int],
    strip: tuple[int, int],
    spans: dict[int, tuple[int, int]],
) -> list[Tag]:
    """Return the tags of a page in the order of real files; those of a text hold where it lies."""
    height, width = shape
    tags = [
        short(256, width),
        short(257, height),
        short(258, 16 if kind == "plain" else 64),
        short(259, 1),
        short(262, 1),
        (270, ASCII, text[1], struct.pack("<Q", text[0])),
        (273, LONG8, 1, struct.pack("<Q", strip[0])),
        short(274, 1),
        short(277, 1),
        short(278, height),
        (279, LONG8, 1, struct.pack("<Q", strip[1])),
        (282, RATIONAL, 1, struct.pack("<2I", 1, 1)),
        (283, RATIONAL, 1, struct.pack("<2I", 1, 1)),
        short(284, 1),
        short(296, 3),
        *((code, ASCII, n, struct.pack("<Q", start)) for code, (start, n) in spans.items()),
        short(339, 1),
    ]
    return tags if kind == "plain" else [*tags, short(_SIFF_COMPRESS, 1 if kind == "compressed" else 0)]
