"""A small two-photon session that looks like one, for newcomers: flickering cells on noise."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .scanimage_files import write_scanimage_recording

N_CHANNELS, N_PLANES, N_FLYBACK, N_VOLUMES = 2, 3, 1, 40
SHAPE = (96, 128)
CELLS_PER_PLANE = 14
SPIKE_PROBABILITY = 0.06
DECAY_VOLUMES = 4.0
BACKGROUND, CELL_BASE, CELL_PEAK, NOISE = 180.0, 350.0, 1400.0, 40.0
"""Brightness in digitizer units; the noise takes some dark pixels below zero, as in real files."""


def write_demo_session(folder: Path) -> Path:
    """Write a session of two channels, three planes and 40 volumes in two files (about 9 MB).

    Channel 1 holds calcium-like transients, channel 2 the same cells at constant brightness.

    Parameters
    ----------
    folder : Path
        Where `demo_00001_00001.tif` and `demo_00001_00002.tif` go; made if missing.

    Returns
    -------
    Path
        `folder`.
    """
    rng = np.random.default_rng(7)
    cells = np.array([_draw_cells(rng) for _ in range(N_PLANES)])
    brightness = _calcium_traces(rng)
    frames_per_volume = N_PLANES + N_FLYBACK

    def demo_page(ordinal: int, height: int, width: int) -> NDArray[np.int16]:
        frame, channel = divmod(ordinal, N_CHANNELS)
        volume, plane = divmod(frame, frames_per_volume)
        # While z returns the image is a smear of all planes.
        footprints = cells[plane] if plane < N_PLANES else cells.mean(axis=0)
        trace = brightness[min(plane, N_PLANES - 1), :, volume] if channel == 0 else np.full(CELLS_PER_PLANE, 0.4)
        scene = BACKGROUND + np.tensordot(CELL_BASE + CELL_PEAK * trace, footprints, axes=1)
        noise = np.random.default_rng((7, ordinal)).standard_normal((height, width))
        # Shot noise grows with the square root of the light.
        return np.rint(scene - BACKGROUND / 2 + noise * (NOISE + np.sqrt(scene))).astype(np.int16)

    write_scanimage_recording(
        folder,
        name="demo_00001",
        n_channels=N_CHANNELS,
        n_planes=N_PLANES,
        n_flyback=N_FLYBACK,
        n_volumes=N_VOLUMES,
        shape=SHAPE,
        pages_per_file=N_CHANNELS * (N_PLANES + N_FLYBACK) * N_VOLUMES // 2,
        page_value=demo_page,
        keep_pages=False,
    )
    return folder


def _draw_cells(rng: np.random.Generator) -> NDArray[np.float64]:
    """Return soft round cells of one plane, peak about 1, shape (n_cells, height, width)."""
    height, width = SHAPE
    y, x = np.mgrid[:height, :width]
    center_y = rng.uniform(8, height - 8, CELLS_PER_PLANE)[:, None, None]
    center_x = rng.uniform(8, width - 8, CELLS_PER_PLANE)[:, None, None]
    radius = rng.uniform(3.5, 5.5, CELLS_PER_PLANE)[:, None, None]
    distance = np.hypot(y - center_y, x - center_x) / radius
    # A power of four gives a flat top with a soft rim.
    footprints: NDArray[np.float64] = np.exp(-(distance**4))
    return footprints


def _calcium_traces(rng: np.random.Generator) -> NDArray[np.float64]:
    """Return traces of sudden rise and slow decay, shape (n_planes, n_cells, n_volumes)."""
    traces = np.zeros((N_PLANES, CELLS_PER_PLANE, N_VOLUMES))
    spikes = rng.random(traces.shape) < SPIKE_PROBABILITY
    for volume in range(N_VOLUMES):
        before = traces[..., volume - 1] if volume else 0.0
        traces[..., volume] = before * np.exp(-1 / DECAY_VOLUMES) + spikes[..., volume]
    return traces
