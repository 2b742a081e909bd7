"""suite2p's registration, through its own functions: for real where it is installed, and by a stand-in everywhere."""

import sys
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from scanimage_nwb.errors import ScanImageNwbWarning
from scanimage_nwb.registration import register
from scanimage_nwb.testing.moving_scenes import Movie, ar1_motion, blob_scene, photon_movie


@pytest.fixture(scope="module")
def movie() -> Movie:
    rng = np.random.default_rng(0)
    scenes = np.array([blob_scene((64, 96), 30, 2.0, rng) for _ in range(2)])
    motion = np.round(ar1_motion(40, rng, limit_px=4))[:, np.newaxis].repeat(2, axis=1)
    return photon_movie(scenes, motion, 100_000, rng)


class StandIn:
    """Does what suite2p's documentation says: returns offsets, and overwrites frames by those moved back by them."""

    def __init__(self, motion: NDArray) -> None:
        self.motion = motion[:, 0].astype(int)
        self.seen: list[dict[str, Any]] = []
        self.sums: list[int] = []

    def registration_wrapper(self, f_reg: NDArray, *, settings: dict[str, Any], device: str) -> dict[str, Any]:
        assert device == "the cpu"
        assert f_reg.dtype == np.int16
        self.seen.append(settings)
        for frame, (dy, dx) in zip(f_reg, self.motion, strict=True):
            frame[:] = np.roll(frame, (-dy, -dx), (0, 1))
        bad = np.zeros(len(f_reg), bool)
        bad[7] = True
        return {
            "yoff": self.motion[:, 0],
            "xoff": self.motion[:, 1],
            "corrXY": np.full(len(f_reg), 0.5),
            "badframes": bad,
            "refImg": f_reg.mean(axis=0).astype(np.int16),
        }


@pytest.fixture
def stand_in(movie: Movie, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    found = StandIn(movie.motion)
    for name in ("suite2p", "suite2p.registration", "torch"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    suite2p, torch = sys.modules["suite2p"], sys.modules["torch"]
    suite2p.default_settings = lambda: {"registration": {"nonrigid": True, "maxregshift": 0.1, "smooth_sigma": 1.15}}  # type: ignore[attr-defined]
    suite2p.registration = found  # type: ignore[attr-defined]
    torch.device = lambda name: f"the {name}"  # type: ignore[attr-defined]
    return found


def test_what_suite2p_is_told_and_says(movie: Movie, stand_in: StandIn) -> None:
    before = movie.frames.copy()
    with pytest.warns(ScanImageNwbWarning, match="2 of 80 frames are flagged: 2 uncertain"):
        info = register(movie.frames, method="suite2p", max_shift=8)
    np.testing.assert_array_equal(movie.frames, before)
    assert stand_in.seen == [{"nonrigid": False, "maxregshift": 8 / 64, "smooth_sigma": 1.15}] * 2
    good = info.volume != 7
    expected = -(movie.motion - np.median(movie.motion[np.arange(40) != 7], axis=0))
    np.testing.assert_array_equal(info.shifts[good], expected[info.volume, info.plane][good])
    assert info.method == "suite2p"
    assert (info.match == 0.5).all()
    means = np.array(
        [np.roll(f, -m.astype(int), (0, 1)) for f, m in zip(before[:, 1], movie.motion[:, 1], strict=True)]
    )
    centre = np.median(movie.motion[np.arange(40) != 7, 1], axis=0).astype(int)
    np.testing.assert_allclose(info.reference_frames[1], np.roll(means.mean(axis=0), centre, (0, 1)), atol=0.1)


def test_one_saturated_frame_does_not_dim_the_others(movie: Movie, stand_in: StandIn) -> None:
    frames = movie.frames.copy()
    frames[3] = 65535
    with pytest.warns(ScanImageNwbWarning):
        info = register(frames, method="suite2p", max_shift=8)
    ratio = info.reference_frames.max() / movie.frames.max()
    assert 0.2 < ratio < 5


def test_without_suite2p(movie: Movie, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "suite2p", None)
    with pytest.raises(ImportError, match=r"pip install 'scanimage-nwb\[suite2p\]'"):
        register(movie.frames, method="suite2p")


def test_an_old_suite2p(movie: Movie, stand_in: StandIn) -> None:
    del sys.modules["suite2p"].default_settings  # type: ignore[attr-defined]
    with pytest.raises(ImportError, match=r"needs suite2p 1\.0 or newer"):
        register(movie.frames, method="suite2p")


def test_fractions_are_not_suite2ps(movie: Movie) -> None:
    with pytest.raises(ValueError, match="whole pixels"):
        register(movie.frames, method="suite2p", subpixel=True)


def test_suite2p_itself(movie: Movie) -> None:
    """Its offsets are where the scene moved: what aligns a frame is their negative (seen with suite2p 1.1)."""
    suite2p = pytest.importorskip("suite2p", exc_type=ImportError)
    torch = pytest.importorskip("torch")
    frames = movie.frames[:, 0].astype(np.int16)
    own = frames.copy()
    settings = suite2p.default_settings()["registration"] | {"nonrigid": False}
    found = suite2p.registration.registration_wrapper(own, settings=settings, device=torch.device("cpu"))
    offsets = np.stack([found["yoff"], found["xoff"]], axis=1)
    for frame, moved, offset in zip(own, frames, offsets, strict=True):
        np.testing.assert_array_equal(frame, np.roll(moved, tuple(-offset), (0, 1)))
    info = register(movie.frames, method="suite2p", max_shift=8)
    left = info.shift_table() + movie.motion
    left -= np.median(left, axis=0)
    assert (left == 0).all(axis=2).mean() > 0.9
