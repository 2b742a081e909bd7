"""What the tests of decays share."""

from functools import partial

import numpy as np
import pytest

from scanimage_nwb.testing import draw_decay

LASER = {"tcspc_resolution_s": 20e-12, "repetition_rate_hz": 80e6}


@pytest.fixture
def laser() -> dict[str, float]:
    """The laser and bins of most tests."""
    return dict(LASER)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20240527)


@pytest.fixture
def draw_two(rng: np.random.Generator) -> partial:
    """Draw a decay of 0.6 and 2.6 ns, 40 and 60 % of the photons."""
    return partial(draw_decay, rng, lifetimes_s=[0.6e-9, 2.6e-9], fractions=[0.4, 0.6])
