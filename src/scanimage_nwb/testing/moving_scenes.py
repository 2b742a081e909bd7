"""Scenes that move in a known way, as a detector would see them. Shares no code with the registration.

Motion is what moves the scene, (dy, dx) in pixels: a frame is the scene shifted by it, wrapped at the edges as
`numpy.roll` does, or seen through a window onto a larger scene. What aligns a frame is the negative of its motion.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Movie",
    "alignment_error",
    "ar1_motion",
    "benchmark_movie",
    "blob_scene",
    "cramer_rao_px",
    "fourier_shift",
    "photon_movie",
    "random_walk",
]


@dataclass(frozen=True)
class Movie:
    """Frames with the motion that went into them."""

    frames: NDArray
    """Shape (volumes, planes, rows, columns)."""
    motion: NDArray[np.float64]
    """Shape (volumes, planes, 2)."""
    scenes: NDArray[np.float64]
    """What stood still, each of sum 1, shape (planes, rows, columns)."""


def blob_scene(
    shape: tuple[int, int],
    n_blobs: int,
    sigma_px: float,
    rng: np.random.Generator,
    background: float = 0.1,
    *,
    periodic: bool = False,
) -> NDArray[np.float64]:
    """Return Gaussian blobs at random places, of sum 1; `background` is a share of the photons.

    Blobs are cut at the edges, or if the scene is periodic go on at the opposite one, so that it can be shifted by
    fractions of a pixel.
    """
    scene = np.zeros(shape)
    for y, x, height in rng.random((n_blobs, 3)):
        along = []
        for centre, n in ((y * shape[0], shape[0]), (x * shape[1], shape[1])):
            away = np.abs(np.arange(n) - centre)
            away = np.minimum(away, n - away) if periodic else away
            along.append(np.exp(-0.5 * (away / sigma_px) ** 2))
        scene += (0.3 + height) * np.outer(*along)
    return (1 - background) * scene / scene.sum() + background / scene.size


def ar1_motion(n: int, rng: np.random.Generator, memory: float = 0.9, limit_px: float = 6.0) -> NDArray[np.float64]:
    """Return autoregressive motion of both axes with a spread of 2.7 px, cut at `limit_px`, shape (n, 2)."""
    step = rng.normal(0, 2.7 * np.sqrt(1 - memory**2), (n, 2))
    step[0] = rng.normal(0, 2.7, 2)
    motion = np.zeros((n, 2))
    for i in range(n):
        motion[i] = memory * (motion[i - 1] if i else 0) + step[i]
    return np.clip(motion, -limit_px, limit_px)


def random_walk(n: int, rng: np.random.Generator, step_px: float = 0.3, limit_px: float = 6.0) -> NDArray[np.float64]:
    """Return a random walk, reflected at `limit_px`, shape (n, 2)."""
    walk = np.cumsum(rng.normal(0, step_px, (n, 2)), axis=0)
    return limit_px - np.abs((walk + limit_px) % (4 * limit_px) - 2 * limit_px)


def fourier_shift(scene: NDArray[np.float64], shift: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shift a scene by a fraction of pixels."""
    fy, fx = np.fft.fftfreq(scene.shape[0]), np.fft.rfftfreq(scene.shape[1])
    phase = np.exp(-2j * np.pi * (fy[:, None] * shift[0] + fx * shift[1]))
    return np.maximum(np.fft.irfft2(np.fft.rfft2(scene) * phase, scene.shape), 0)


def photon_movie(
    scenes: NDArray[np.float64],
    motion: NDArray[np.float64],
    photons_per_frame: float | NDArray[np.float64],
    rng: np.random.Generator,
) -> Movie:
    """Count photons of moving scenes; `photons_per_frame` may differ from volume to volume."""
    n_volumes, n_planes = motion.shape[:2]
    brightness = np.broadcast_to(photons_per_frame, n_volumes)
    frames = np.empty((n_volumes, *scenes.shape), np.uint16)
    whole = np.array_equal(motion, np.round(motion))
    for t in range(n_volumes):
        for plane in range(n_planes):
            if whole:
                seen = np.roll(scenes[plane], tuple(motion[t, plane].astype(int)), (0, 1))
            else:
                seen = fourier_shift(scenes[plane], motion[t, plane])
            frames[t, plane] = rng.poisson(brightness[t] * seen)
    return Movie(frames, motion.astype(float), scenes)


def benchmark_movie(
    photons_per_frame: float,
    seed: int,
    n_planes: int = 2,
    n_volumes: int = 300,
    shape: tuple[int, int] = (128, 256),
) -> Movie:
    """Return the benchmark: 25 blobs of 6 px, AR(1) motion in whole pixels, with 0.3 px jitter of each plane."""
    rng = np.random.default_rng(seed)
    scenes = np.array([blob_scene(shape, 25, 6.0, rng) for _ in range(n_planes)])
    shared = ar1_motion(n_volumes, rng)
    motion = np.round(shared[:, None] + rng.normal(0, 0.3, (n_volumes, n_planes, 2)))
    return photon_movie(scenes, motion, photons_per_frame, rng)


def alignment_error(shifts: NDArray, motion: NDArray) -> NDArray[np.float64]:
    """Return what is left of the motion after the median of each plane is taken off, shape (volumes, planes, 2)."""
    left = shifts + motion
    return left - np.median(left, axis=0)


def cramer_rao_px(scene: NDArray[np.float64], photons: float) -> NDArray[np.float64]:
    """Return the smallest standard deviation that any unbiased estimate of (dy, dx) has, given the scene."""
    wrapped = np.pad(scene, 1, mode="wrap")
    slopes = [(wrapped[2:, 1:-1] - wrapped[:-2, 1:-1]) / 2, (wrapped[1:-1, 2:] - wrapped[1:-1, :-2]) / 2]
    bright = scene > scene.max() * 1e-9
    information = np.array([[np.sum((a * b)[bright] / scene[bright]) for b in slopes] for a in slopes])
    return np.sqrt(np.diag(np.linalg.inv(photons * information)))
