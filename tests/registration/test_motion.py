"""The temporal prior: what is left out or done side by side changes nothing."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.typing import NDArray

from scanimage_nwb.registration.motion import (
    JITTERS_PX,
    STEPS_PX,
    MotionModel,
    _likelihood,
    choose_model,
    decode,
    decode_in_parts,
)
from scanimage_nwb.testing.moving_scenes import random_walk


def surfaces(n_volumes: int, step_px: float, jitter_px: float | None, sharpness: float = 0.5) -> NDArray[np.float32]:
    """Return log-likelihoods of two planes that walk, together but for a jitter or (None) each on its own."""
    rng = np.random.default_rng(0)
    walks = np.stack([random_walk(n_volumes, rng, step_px) for _ in range(2)], axis=1)
    if jitter_px is not None:
        walks[:, 1] = walks[:, 0]
        walks += rng.normal(0, jitter_px, walks.shape)
    seen = walks + rng.normal(0, 1 / np.sqrt(2 * sharpness), walks.shape)
    away = np.arange(-10, 11)
    y, x = (seen[..., axis, np.newaxis] - away for axis in range(2))
    return (-sharpness * (y[..., np.newaxis] ** 2 + x[..., np.newaxis, :] ** 2)).astype(np.float32)


@pytest.mark.parametrize("n_volumes", [1, 60, 200])
def test_parts_of_a_run_are_decoded_like_the_whole(n_volumes: int) -> None:
    run, model = surfaces(n_volumes, 0.5, 0.3), MotionModel(0.7, 0.4)
    whole = decode(run, model)
    with ThreadPoolExecutor(2) as executor:
        parts = decode_in_parts(run, model, executor, 3)
    np.testing.assert_array_equal(parts.shifts, whole.shifts)
    np.testing.assert_allclose(parts.error_px, whole.error_px, atol=1e-3)


def test_shifts_that_no_frame_may_have_are_left_out() -> None:
    run, model = surfaces(50, 0.5, 0.3, sharpness=8), MotionModel(0.7, None)
    wide = np.full((50, 2, 31, 31), -1e4, np.float32)
    wide[:, :, 5:-5, 5:-5] = run
    wide[20, 1] = 0  # says nothing
    run[20, 1] = 0
    np.testing.assert_array_equal(decode(wide, model).shifts, decode(run, model).shifts)
    np.testing.assert_allclose(decode(wide, model).error_px, decode(run, model).error_px, atol=0.02)


@pytest.mark.parametrize(("step_px", "jitter_px"), [(0.1, 0.05), (0.5, 0.5), (2.5, 0.2), (1.0, None)])
def test_the_model_climbed_to_is_the_best_of_all(step_px: float, jitter_px: float | None) -> None:
    run = surfaces(150, step_px, jitter_px)
    with ThreadPoolExecutor(2) as executor:
        found = choose_model(run, None, None, executor)
    likelihood = _likelihood(run)
    steps = {step: MotionModel(step, JITTERS_PX[2]).evidence(likelihood) for step in STEPS_PX}
    assert found.step_px == max(steps, key=steps.__getitem__)
    jitters = {jitter: MotionModel(found.step_px, jitter).evidence(likelihood) for jitter in (*JITTERS_PX, None)}
    assert found.jitter_px == max(jitters, key=jitters.__getitem__)
    assert (found.jitter_px is None) == (jitter_px is None)
