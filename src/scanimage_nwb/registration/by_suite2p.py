"""Registration by suite2p, through its own functions; it is an extra, and nothing here needs it to be imported."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scanimage_nwb.registration.aligning import Alignment
from scanimage_nwb.registration.quality import FLAGS
from scanimage_nwb.registration.source import FrameSource

__all__ = ["register_by_suite2p"]

_BLOCK_BYTES = 24 << 20
_LARGEST = 32767
"""Largest value of suite2p's frames, which are int16."""
_USUAL = 4096
"""What the brightest pixel of a usual frame is scaled to."""


def register_by_suite2p(
    source: FrameSource, some: list[NDArray], *, max_shift: int
) -> tuple[Alignment, NDArray[np.float32]]:
    """Register every plane by the rigid registration of suite2p, with its default settings.

    Parameters
    ----------
    source : FrameSource
        Frames.
    some : list of ndarray, shape (n, rows, columns)
        Frames of each plane that tell how large values are.
    max_shift : int
        Largest shift.

    Returns
    -------
    Alignment
        `match` is the height of suite2p's correlation peak; errors are not known; suite2p's bad frames are flagged.
    ndarray of float32, shape (planes, rows, columns)
        References.

    Raises
    ------
    ImportError
        If suite2p is not installed.
    """
    suite2p, torch = _load()
    n_volumes, n_planes, rows, columns = source.shape
    options = suite2p.default_settings()["registration"] | {
        "nonrigid": False,
        # suite2p rounds the product, and looks at shifts up to it.
        "maxregshift": max_shift / min(rows, columns),
    }
    shifts, match = np.zeros((n_volumes, n_planes, 2)), np.zeros((n_volumes, n_planes))
    flag = np.zeros((n_volumes, n_planes), np.uint8)
    references = np.zeros((n_planes, rows, columns), np.float32)
    for plane, sample in enumerate(some):
        factor = _factor(sample)
        with tempfile.TemporaryDirectory(prefix="scanimage-nwb-") as folder:
            frames, empty = _copy(source, plane, factor, Path(folder) / "frames.bin")
            found = suite2p.registration.registration_wrapper(frames, settings=options, device=torch.device("cpu"))
            del frames
        # suite2p moves a frame by the negative of its offset.
        shifts[:, plane] = -np.stack([found["yoff"], found["xoff"]], axis=1)
        match[:, plane] = found["corrXY"]
        references[plane] = np.asarray(found["refImg"], np.float32) / factor
        edge = (np.abs(shifts[:, plane]) >= max_shift).any(axis=1)
        flag[edge, plane] = FLAGS.index("at the edge of the search")
        flag[np.asarray(found["badframes"], bool), plane] = FLAGS.index("uncertain")
        flag[empty, plane] = FLAGS.index("no signal")
    return Alignment(shifts, np.full(shifts.shape, np.nan), match, flag), references


def _load() -> tuple[Any, Any]:
    """Return suite2p and torch."""
    try:
        import suite2p
        import suite2p.registration
        import torch
    except ImportError as error:
        raise ImportError(
            f"method='suite2p' needs suite2p 1.0 or newer, which could not be imported ({error}): "
            "pip install 'scanimage-nwb[suite2p]', or use method='poisson'"
        ) from error
    if not hasattr(suite2p, "default_settings"):
        raise ImportError("method='suite2p' needs suite2p 1.0 or newer; an older one is installed: update it")
    return suite2p, torch


def _factor(sample: NDArray) -> float:
    """Return what values are multiplied by: references are int16 too, where the mean of a few photons would be 0."""
    usual = float(np.median(np.abs(sample.astype(np.float32)).max(axis=(1, 2))))
    return _USUAL / usual if usual > 0 else 1.0


def _copy(source: FrameSource, plane: int, factor: float, path: Path) -> tuple[NDArray[np.int16], NDArray[np.bool_]]:
    """Copy frames of a plane to a file that suite2p may overwrite; return them, and which have no signal."""
    n_volumes, _, rows, columns = source.shape
    frames = np.memmap(path, np.int16, "w+", shape=(n_volumes, rows, columns))
    empty = np.zeros(n_volumes, bool)
    size = max(1, _BLOCK_BYTES // (4 * rows * columns))
    for first in range(0, n_volumes, size):
        block = source.read(np.arange(first, min(first + size, n_volumes)), plane)
        empty[first : first + size] = ~block.any(axis=(1, 2))
        scaled = np.round(block * np.float32(factor))
        frames[first : first + size] = np.clip(scaled, -_LARGEST, _LARGEST)
    return frames, empty
