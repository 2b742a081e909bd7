"""Fits of decays that go into NWB: of the field of each plane, and of regions with lifetimes that they share."""

from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from scanimage_nwb.errors import MetadataError
from scanimage_nwb.flim import DecayFit, FractionFit, Irf, MeasuredIrf, fit_decay, fit_global
from scanimage_nwb.nwb.flim_data import Samples

__all__ = ["FitRows", "fit_planes", "fit_regions", "model_text"]

_NUMBERS = ("one", "two", "three", "four")


@dataclass(slots=True)
class FitRows:
    """Columns of a LifetimeFitTable."""

    columns: dict[str, list[Any]] = field(default_factory=dict)
    """Values by the names of the columns."""
    messages: list[str] = field(default_factory=list)
    """Why each fit failed, or what about it deserves a look."""

    def add(self, message: str, **values: Any) -> None:
        """Add a row."""
        self.messages.append(message)
        for name, value in values.items():
            self.columns.setdefault(name, []).append(value)


def model_text(n_components: int, irf: Irf | MeasuredIrf | None) -> str:
    """Return in words what is fitted.

    Examples
    --------
    >>> model_text(2, None)
    'two exponentials, convolved with a Gaussian IRF that is fitted, wrapped at the laser period, plus a constant \
background'
    """
    kind = "a measured IRF" if isinstance(irf, MeasuredIrf) else "a Gaussian IRF that is known"
    return (
        f"{_NUMBERS[n_components - 1]} exponential{'s' * (n_components > 1)}, convolved with "
        f"{'a Gaussian IRF that is fitted' if irf is None else kind}, wrapped at the laser period, plus a constant "
        "background"
    )


def fit_planes(samples: Samples, n_components: int, irf: Irf | MeasuredIrf | None) -> FitRows:
    """Fit the decay of the field of each plane, the photons of all samples together.

    Parameters
    ----------
    samples : Samples
        Pages whose photons are fitted.
    n_components : int
        Exponentials.
    irf : Irf or MeasuredIrf, optional
        Response of the instrument; by default it is fitted, starting from the rising edge.

    Returns
    -------
    FitRows
        One row a plane.
    """
    rows = FitRows()
    for plane in range(samples.n_planes):
        histogram = samples.reader.get_histogram(samples.pages[:, plane], None, False, 1, samples.shifts)
        fit = fit_decay(histogram, n_components, irf=irf, **_laser(samples))
        names = [[f"{kind}_{k}" for k in range(n_components)] for kind in ("tau", "fraction")]
        errors = [[_error(fit, name) for name in kind] for kind in names]
        rows.add(
            fit.message,
            lifetime=list(fit.params.lifetimes),
            lifetime_error=errors[0],
            fraction=list(fit.params.fractions),
            fraction_error=errors[1],
            background=fit.params.background,
            photon_count=fit.n_photons,
            reduced_chi_squared=fit.reduced_chi_square,
            converged=fit.success,
            **_response_of(fit, irf),
        )
    return rows


def fit_regions(samples: Samples, masks: NDArray, n_components: int, irf: Irf | MeasuredIrf | None) -> FitRows:
    """Fit lifetimes from the photons of all regions and samples, and fractions of each region.

    Parameters
    ----------
    samples, n_components, irf
        As for `fit_planes`.
    masks : ndarray of bool, shape (masks, [planes,] rows, columns)
        Regions.

    Returns
    -------
    FitRows
        One row a region.

    Raises
    ------
    MetadataError
        If masks are weights: sums of weights are no counts, and have no Poisson likelihood.
    """
    if masks.dtype != bool:
        raise MetadataError("masks are weights, and fits need whole photons; set boolean masks, as masks > 0")
    pages = samples.pages.reshape(-1)
    histograms = samples.reader.get_histogram(pages, masks, False, 1, samples.shifts)
    both = fit_global(histograms, n_components, irf=irf, **_laser(samples))
    rows, curves, shared = FitRows(), both.curves, both.shared
    for roi in range(len(masks)):
        rows.add(
            str(curves.message[roi]),
            lifetime=curves.lifetimes_s.tolist(),
            lifetime_error=[_error(shared, f"tau_{k}") for k in range(n_components)],
            fraction=curves.fractions[roi].tolist(),
            fraction_error=[_unless_zero(error) for error in curves.fraction_errors[roi].tolist()],
            background=float(curves.background[roi]),
            # regions without photons are not looked at, where lifetimes could not be found
            photon_count=max(int(curves.n_photons[roi]), 0),
            reduced_chi_squared=_reduced(curves, roi),
            converged=bool(curves.success[roi]),
            **_response_of(shared, irf),
        )
    return rows


def _laser(samples: Samples) -> dict[str, Any]:
    reader = samples.reader
    return {"tcspc_resolution_s": reader.tcspc_resolution_s, "repetition_rate_hz": reader.repetition_rate_hz}


def _error(fit: DecayFit, name: str) -> float:
    return _unless_zero(fit.standard_errors[name])


def _unless_zero(error: float) -> float:
    """Return a standard error, NaN for what was not fitted, as the specification has it."""
    return error if error > 0 else float("nan")


def _reduced(curves: FractionFit, roi: int) -> float:
    freedom = int(curves.degrees_of_freedom[roi])
    return float(curves.chi_square[roi]) / freedom if freedom else float("nan")


def _response_of(fit: DecayFit, irf: Irf | MeasuredIrf | None) -> dict[str, float]:
    """Return columns of a Gaussian response; a measured one is in the settings."""
    if isinstance(irf, MeasuredIrf):
        return {}
    return {"irf_center": fit.params.irf.offset, "irf_sigma": fit.params.irf.sigma}
