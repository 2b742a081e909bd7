"""A small two-photon session that looks like one, for newcomers: flickering cells on noise, and cells of photons."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .scanimage_files import write_scanimage_recording
from .siff_files import write_siff_recording

N_CHANNELS, N_PLANES, N_FLYBACK, N_VOLUMES = 2, 3, 1, 40
SHAPE = (96, 128)
CELLS_PER_PLANE = 14
SPIKE_PROBABILITY = 0.06
DECAY_VOLUMES = 4.0
BACKGROUND, CELL_BASE, CELL_PEAK, NOISE = 180.0, 350.0, 1400.0, 40.0
"""Brightness in digitizer units; the noise takes some dark pixels below zero, as in real files."""

FLIM_PLANES, FLIM_FLYBACK, FLIM_VOLUMES = 2, 1, 40
FLIM_FRAME_RATE_HZ = 30.0
FLIM_SHAPE = (64, 64)
FREE_S, BOUND_S, RED_S = 0.6e-9, 2.6e-9, 2.2e-9
"""Decay times of a sensor without and with its ligand, and of a red dye."""
FREE_FRACTION = 0.4
"""Of the sensor's photons, in a cell at rest."""
DARK_PHOTONS, CELL_PHOTONS = 0.06, 2.2
"""Photons of a pixel and frame."""
FLIM_START = datetime(2025, 4, 24, 15, 10, tzinfo=UTC)
"""Half an hour after the TIFF recording, if that was made in Berlin."""


def write_demo_session(folder: Path) -> Path:
    """Write a session of two recordings (about 11 MB): two TIFF files and a .siff.

    The TIFFs hold two channels, three planes and 40 volumes: channel 1 calcium-like transients, channel 2 the same
    cells at constant brightness. The .siff holds photons of two colours, two planes, flyback, 40 volumes and appended
    text; a cell's transient in the first colour changes how long its photons take, not how many there are.

    Parameters
    ----------
    folder : Path
        Where `demo_00001_00001.tif`, `demo_00001_00002.tif` and `demo_flim_00001.siff` go; made if missing.

    Returns
    -------
    Path
        `folder`.
    """
    _write_tiffs(folder)
    _write_siff(folder)
    return folder


def _write_tiffs(folder: Path) -> None:
    """Write the recording of pixels."""
    rng = np.random.default_rng(7)
    cells = np.array([_draw_cells(rng, SHAPE) for _ in range(N_PLANES)])
    brightness = _calcium_traces(rng, N_PLANES, N_VOLUMES)
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


def _write_siff(folder: Path) -> None:
    """Write the recording of photons."""
    rng = np.random.default_rng(11)
    cells = np.array([_draw_cells(rng, FLIM_SHAPE) for _ in range(FLIM_PLANES)])
    bound = np.minimum(_calcium_traces(rng, FLIM_PLANES, FLIM_VOLUMES), 1)
    n_channels, frames_per_volume = 2, FLIM_PLANES + FLIM_FLYBACK

    def expected_photons(page: int, _height: int, _width: int) -> NDArray[np.float64]:
        frame, channel = divmod(page, n_channels)
        volume, plane = divmod(frame, frames_per_volume)
        plane = min(plane, FLIM_PLANES - 1)  # z passes the last plane on its way back
        light = DARK_PHOTONS + CELL_PHOTONS * cells[plane].sum(axis=0)
        free = FREE_FRACTION * (1 - np.tensordot(bound[plane, :, volume], cells[plane], axes=1).clip(0, 1))
        dark = np.zeros_like(light)
        return np.array([light * free, light * (1 - free), dark] if channel == 0 else [dark, dark, light / 2])

    write_siff_recording(
        folder,
        name="demo_flim_00001",
        channel_save=(1, 2),
        n_planes=FLIM_PLANES,
        n_flyback=FLIM_FLYBACK,
        n_volumes=FLIM_VOLUMES,
        shape=FLIM_SHAPE,
        frame_rate_hz=FLIM_FRAME_RATE_HZ,
        lifetimes_s=(FREE_S, BOUND_S, RED_S),
        scene=expected_photons,
        appended_text=[(66, "odour on", 1.5), (126, "odour off", 2.5), (200, "cells look fine", None)],
        start_ns=int(FLIM_START.timestamp()) * 10**9,
        seed=11,
        keep_photons=False,
    )


def _draw_cells(rng: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Return soft round cells of one plane, peak about 1, shape (n_cells, height, width)."""
    height, width = shape
    y, x = np.mgrid[:height, :width]
    center_y = rng.uniform(8, height - 8, CELLS_PER_PLANE)[:, None, None]
    center_x = rng.uniform(8, width - 8, CELLS_PER_PLANE)[:, None, None]
    radius = rng.uniform(3.5, 5.5, CELLS_PER_PLANE)[:, None, None]
    distance = np.hypot(y - center_y, x - center_x) / radius
    # A power of four gives a flat top with a soft rim.
    footprints: NDArray[np.float64] = np.exp(-(distance**4))
    return footprints


def _calcium_traces(rng: np.random.Generator, n_planes: int, n_volumes: int) -> NDArray[np.float64]:
    """Return traces of sudden rise and slow decay, shape (n_planes, n_cells, n_volumes)."""
    traces = np.zeros((n_planes, CELLS_PER_PLANE, n_volumes))
    spikes = rng.random(traces.shape) < SPIKE_PROBABILITY
    for volume in range(n_volumes):
        before = traces[..., volume - 1] if volume else 0.0
        traces[..., volume] = before * np.exp(-1 / DECAY_VOLUMES) + spikes[..., volume]
    return traces
