"""What fits of many curves found."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scanimage_nwb.flim.fit_report import DecayFit

__all__ = ["FractionFit", "GlobalFit", "empty_fit", "reshape_fit"]

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class FractionFit:
    """Fractions of many curves; arrays have the leading shape of the histograms, here called (…)."""

    lifetimes_s: Array
    """Lifetime of each component in seconds, shape (components,)."""
    fractions: Array
    """Fractions of fluorescence photons, shape (…, components); NaN where `success` is False."""
    fraction_errors: Array
    """Standard errors of them, with lifetimes taken as known; those of `GlobalFit.shared` come on top. NaN for a
    fraction that is 0, where the likelihood is cut off, and for what is left to the only component with photons."""
    background: Array
    """Background as a fraction of all photons, shape (…)."""
    background_errors: Array
    """Standard errors of it; 0 where it was given."""
    mean_lifetime_s: Array
    """Lifetimes weighted by fractions, shape (…)."""
    mean_lifetime_errors_s: Array
    """Standard errors of them."""
    n_photons: NDArray[np.int64]
    """Photons in the bins that were fitted, shape (…); -1 where counts are no counts."""
    deviance: Array
    """As for `DecayFit`, shape (…)."""
    chi_square: Array
    """As for `DecayFit`, shape (…)."""
    degrees_of_freedom: NDArray[np.int64]
    """As for `DecayFit`, shape (…)."""
    p_value: Array
    """As for `DecayFit`, shape (…)."""
    success: NDArray[np.bool_]
    """Whether there are numbers to use, shape (…)."""
    message: NDArray[np.str_]
    """Why not, shape (…); "" where there is nothing to say."""


@dataclass(frozen=True, slots=True, eq=False)
class GlobalFit:
    """A global fit: what is shared, and the fractions of each curve."""

    shared: DecayFit
    """Fit of all photons together: lifetimes and IRF with their errors, and how well the model describes them."""
    curves: FractionFit
    """Fractions of each curve."""


def empty_fit(shape: tuple[int, ...], n_components: int, reason: str) -> FractionFit:
    """Return the result of curves of which nothing is known."""
    nothing = np.full(shape, np.nan)
    each = np.full((*shape, n_components), np.nan)
    return FractionFit(
        lifetimes_s=np.full(n_components, np.nan),
        fractions=each,
        fraction_errors=each.copy(),
        background=nothing,
        background_errors=nothing.copy(),
        mean_lifetime_s=nothing.copy(),
        mean_lifetime_errors_s=nothing.copy(),
        n_photons=np.full(shape, -1),
        deviance=nothing.copy(),
        chi_square=nothing.copy(),
        degrees_of_freedom=np.zeros(shape, np.int64),
        p_value=nothing.copy(),
        success=np.zeros(shape, bool),
        message=np.full(shape, reason, object),
    )


def reshape_fit(fit: FractionFit, shape: tuple[int, ...]) -> FractionFit:
    """Return the same with the curves in their leading shape."""
    arrays = {}
    for name in FractionFit.__dataclass_fields__:
        array = getattr(fit, name)
        arrays[name] = array if name == "lifetimes_s" else array.reshape(*shape, *array.shape[1:])
    return FractionFit(**{**arrays, "message": arrays["message"].astype(np.str_)})
