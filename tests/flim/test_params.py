"""Parameters of decays: units, tuples and files."""

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanimage_nwb.errors import MetadataError
from scanimage_nwb.flim import Exp, FLIMParams, Irf

PARAMS = FLIMParams(
    (Exp(2.6, 0.6, "nanoseconds"), Exp(0.6, 0.4, "nanoseconds")), Irf(1.5, 0.08, "nanoseconds"), background=0.05
)


def test_units_convert() -> None:
    bins = PARAMS.as_units("countbins", tcspc_resolution_s=20e-12)
    assert bins.lifetimes == pytest.approx((130, 30))
    assert (bins.irf.offset, bins.irf.sigma) == pytest.approx((75, 4))
    assert bins.fractions == PARAMS.fractions
    assert bins.background == 0.05
    back = bins.as_units("picoseconds", tcspc_resolution_s=20e-12)
    assert back.lifetimes == pytest.approx((2600, 600))
    assert PARAMS.as_units("seconds").lifetimes == pytest.approx((2.6e-9, 0.6e-9))


def test_bins_need_a_width() -> None:
    with pytest.raises(ValueError, match="tcspc_resolution_s"):
        PARAMS.as_units("countbins")
    with pytest.raises(ValueError, match="'hours'"):
        PARAMS.as_units("hours")  # type: ignore[arg-type]


def test_means_and_amplitudes() -> None:
    assert PARAMS.mean_lifetime == pytest.approx(0.6 * 2.6 + 0.4 * 0.6)
    heights = 0.6 / 2.6, 0.4 / 0.6
    assert PARAMS.amplitudes == pytest.approx([one / sum(heights) for one in heights])
    assert PARAMS.amplitude_weighted_lifetime == pytest.approx(1 / sum(heights))
    assert PARAMS.sorted().lifetimes == (0.6, 2.6)
    assert PARAMS.noise == 0.05


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FLIMParams((), Irf(0, 1)), "at least one"),
        (lambda: FLIMParams((Exp(1, 0.5),), Irf(0, 1)), "add up to 0.5"),
        (lambda: FLIMParams((Exp(1, 1.0, "nanoseconds"),), Irf(0, 1)), "units differ"),
        (lambda: FLIMParams((Exp(1),), Irf(0, 1), 1.5), "background is 1.5"),
        (lambda: Exp(-1), "not negative"),
        (lambda: Exp(1, 2), "frac is 2"),
        (lambda: Irf(0, -1), "not negative"),
        (lambda: Exp(1, units="ns"), "units are 'ns'"),  # type: ignore[arg-type]
        (lambda: FLIMParams.from_tuple((1, 2, 3)), "3 numbers"),
    ],
)
def test_nonsense_is_refused(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()  # type: ignore[operator]


@given(st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=4), st.floats(-10, 10), st.floats(0, 10), st.floats(0, 1))
def test_tuples_and_dicts_come_back(taus: list[float], offset: float, sigma: float, background: float) -> None:
    exps = tuple(Exp(tau, 1 / len(taus), "nanoseconds") for tau in taus)
    params = FLIMParams(exps, Irf(offset, sigma, "nanoseconds"), background)
    assert FLIMParams.from_tuple(params.to_tuple(), units="nanoseconds") == params
    assert FLIMParams.from_dict(json.loads(json.dumps(params.to_dict()))) == params


def test_a_tuple_may_leave_out_the_background() -> None:
    assert FLIMParams.from_tuple((2.2, 1.0, 1.5, 0.08)) == FLIMParams((Exp(2.2),), Irf(1.5, 0.08))


def test_files_come_back_and_others_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "decay.json"
    PARAMS.save(path)
    assert FLIMParams.load(path) == PARAMS
    whole = path.read_text()
    for damaged in ("", "[]", "{}", '"text"', whole[:-20], whole.replace("0.4", "0.1"), whole.replace(' 1"', ' 9"')):
        path.write_text(damaged)
        with pytest.raises(MetadataError, match=r"decay\.json"):
            FLIMParams.load(path)


def test_what_a_fit_could_not_find_is_nan() -> None:
    nothing = FLIMParams((Exp(math.nan, math.nan),), Irf(math.nan, math.nan), math.nan)
    assert math.isnan(nothing.mean_lifetime)
