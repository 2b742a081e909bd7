"""Which parameters of a decay are free, and how the free ones make the decay.

Parameters have names: ``tau_0``, ``fraction_0`` and so on for the components, ``irf_offset`` and ``irf_sigma`` (of a
measured IRF, ``irf_offset`` is its shift), and ``background``. The likelihood is maximised over the logarithms of
lifetimes and breadth, the offset, and amplitudes: the photons that each component and the background emit over the
whole period. Amplitudes are not negative, and those that are fixed relative to others follow from them linearly.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from scanimage_nwb.flim.model import DelayAxis, MeasuredIrf, ResponseIrf, response_derivatives
from scanimage_nwb.flim.params import Irf

__all__ = ["FitPlan", "parameter_names"]

Array = NDArray[np.float64]
Bounds = tuple[float, float]
MAX_COMPONENTS = 4
_LEAST_TAU_BINS, _MOST_TAU_PERIODS = 0.5, 2.0
_LEAST_SIGMA_BINS, _MOST_SIGMA_PERIODS = 0.05, 0.25


def parameter_names(n_components: int) -> tuple[str, ...]:
    """Return the names of all parameters of a decay.

    Examples
    --------
    >>> parameter_names(1)
    ('tau_0', 'fraction_0', 'irf_offset', 'irf_sigma', 'background')
    """
    taus = tuple(f"tau_{k}" for k in range(n_components))
    fractions = tuple(f"fraction_{k}" for k in range(n_components))
    return (*taus, *fractions, "irf_offset", "irf_sigma", "background")


@dataclass(frozen=True, slots=True, eq=False)
class FitPlan:
    """Free and fixed parameters of a fit; theta is the vector that is searched."""

    axis: DelayAxis
    used: NDArray[np.bool_]
    """Bins that are fitted, shape (num_bins,)."""
    n_components: int
    irf: ResponseIrf
    """Its values hold where they are not free."""
    irf_is_free: bool
    fixed: Mapping[str, float]
    bounds: Mapping[str, Bounds]
    mixing: Array = field(init=False)
    """Amplitudes of components and background from the free ones, shape (n_components + 1, free amplitudes)."""
    free: tuple[str, ...] = field(init=False)
    """Names of the free parameters other than amplitudes, in the order of theta."""

    def __post_init__(self) -> None:
        names = parameter_names(self.n_components)
        for name in (*self.fixed, *self.bounds):
            if name not in names:
                raise ValueError(f"there is no parameter {name!r}; expected one of {names}")
        both = set(self.fixed) & set(self.bounds)
        if both:
            raise ValueError(f"{sorted(both)} are both fixed and bounded")
        if not all(map(math.isfinite, self.fixed.values())):
            raise ValueError(f"fixed values are {dict(self.fixed)}; expected finite numbers")
        if not all(low < high for low, high in self.bounds.values()):
            raise ValueError(f"bounds are {dict(self.bounds)}; expected the lower one first")
        irf_names = ("irf_offset", "irf_sigma") if isinstance(self.irf, Irf) else ("irf_offset",)
        shape = [name for name in names if name.startswith("tau")]
        shape += [name for name in irf_names if self.irf_is_free]
        object.__setattr__(self, "free", tuple(name for name in shape if name not in self.fixed))
        idle = [name for name in self.bounds if name.startswith("irf") and name not in self.free]
        idle += [name for name in self.fixed if name.startswith("irf") and name not in irf_names]
        if idle:
            raise ValueError(f"{idle} of this IRF are not fitted: leave out their bounds and values, or set fit_irf")
        object.__setattr__(self, "mixing", _mixing_matrix(self.n_components, self.fixed))

    @property
    def n_free(self) -> int:
        """Free parameters, amplitudes (and so the number of photons) included."""
        return len(self.free) + self.mixing.shape[1]

    def limits(self, start: Irf | None) -> tuple[Array, Array]:
        """Return the lowest and highest theta; the offset is within half a period of its start."""
        axis = self.axis
        usual = {
            "tau": (_LEAST_TAU_BINS * axis.tcspc_resolution_s, _MOST_TAU_PERIODS * axis.period_s),
            "irf_sigma": (_LEAST_SIGMA_BINS * axis.tcspc_resolution_s, _MOST_SIGMA_PERIODS * axis.period_s),
            "irf_offset": (-axis.period_s / 2, axis.period_s / 2),
        }
        if start is not None:
            usual["irf_offset"] = (start.offset - axis.period_s / 2, start.offset + axis.period_s / 2)
        pairs = [self.bounds.get(name, usual["tau" if name[:3] == "tau" else name]) for name in self.free]
        pairs = [
            pair if name == "irf_offset" else _logarithms(pair) for name, pair in zip(self.free, pairs, strict=True)
        ]
        n_amplitudes = self.mixing.shape[1]
        lower = np.array([low for low, _ in pairs] + [0.0] * n_amplitudes)
        upper = np.array([high for _, high in pairs] + [math.inf] * n_amplitudes)
        return lower, upper

    def shape_of(self, theta: Array) -> tuple[Array, ResponseIrf]:
        """Return lifetimes in seconds and the IRF of theta."""
        values = dict(self.fixed)
        for name, value in zip(self.free, theta, strict=False):
            values[name] = float(value) if name == "irf_offset" else math.exp(value)
        tau = np.array([values[f"tau_{k}"] for k in range(self.n_components)])
        if isinstance(self.irf, MeasuredIrf):
            return tau, MeasuredIrf(self.irf.weights, values.get("irf_offset", self.irf.shift_s))
        return tau, Irf(values.get("irf_offset", self.irf.offset), values.get("irf_sigma", self.irf.sigma))

    def amplitudes_of(self, theta: Array) -> Array:
        """Return the photons of components and, last, background."""
        return self.mixing @ theta[len(self.free) :]

    def pack(self, tau: Array, irf: ResponseIrf) -> Array:
        """Return the part of theta before the amplitudes."""
        values = {f"tau_{k}": math.log(one) for k, one in enumerate(tau)}
        if isinstance(irf, Irf):
            values |= {"irf_offset": irf.offset, "irf_sigma": math.log(irf.sigma)}
        else:
            values |= {"irf_offset": irf.shift_s}
        return np.array([values[name] for name in self.free])

    def basis(self, tau: Array, irf: ResponseIrf) -> Array:
        """Return the share of each component and the background in the used bins, shape (n_components + 1, bins)."""
        return self.full_basis(tau, irf)[:, self.used]

    def full_basis(self, tau: Array, irf: ResponseIrf) -> Array:
        """Return the same for all bins."""
        return np.vstack([response_derivatives(tau, irf, self.axis).share, self.axis.background])

    def expected(self, theta: Array) -> tuple[Array, Array]:
        """Return expected counts in the used bins, shape (bins,), and their changes by theta, (theta, bins)."""
        tau, irf = self.shape_of(theta)
        responses = response_derivatives(tau, irf, self.axis)
        amplitudes = self.amplitudes_of(theta)
        basis = self.mixing.T @ np.vstack([responses.share, self.axis.background])
        rows = []
        for name in self.free:
            if name == "irf_offset":
                rows.append(amplitudes[:-1] @ responses.d_offset)
            elif name == "irf_sigma":
                rows.append(amplitudes[:-1] @ responses.d_sigma * irf.sigma)  # type: ignore[union-attr]
            else:
                k = int(name[4:])
                rows.append(amplitudes[k] * tau[k] * responses.d_tau[k])
        jacobian = np.vstack([*rows, basis])[:, self.used]
        return theta[len(self.free) :] @ basis[:, self.used], jacobian


def _logarithms(pair: Bounds) -> Bounds:
    low, high = pair
    if not (0 <= low < high):
        raise ValueError(f"bounds are {pair}; expected two seconds, the lower one first and not negative")
    return (math.log(low) if low > 0 else -math.inf, math.log(high) if math.isfinite(high) else math.inf)


def _mixing_matrix(n_components: int, fixed: Mapping[str, float]) -> Array:
    """Return amplitudes from free ones; fixed fractions and a fixed background follow the free components."""
    fractions = {k: fixed[f"fraction_{k}"] for k in range(n_components) if f"fraction_{k}" in fixed}
    if any(not 0 <= one <= 1 for one in fractions.values()):
        raise ValueError(f"fixed fractions are {fractions}; expected values from 0 to 1")
    free = [k for k in range(n_components) if k not in fractions]
    left = 1 - math.fsum(fractions.values())
    if free and left <= 0:
        raise ValueError(f"fixed fractions {fractions} leave nothing to component {free[0]}")
    if not free and abs(left) > 1e-6:
        raise ValueError(f"all fractions are fixed and add up to {1 - left}; expected 1")
    mixing: Array = np.zeros((n_components + 1, max(len(free), 1)))
    for column, k in enumerate(free):
        mixing[k, column] = 1
    for k, fraction in fractions.items():
        mixing[k] = fraction / left if free else fraction
    if "background" not in fixed:
        return np.hstack([mixing, np.eye(n_components + 1)[:, -1:]])
    background = fixed["background"]
    if not 0 <= background < 1:
        raise ValueError(f"the fixed background is {background}; expected a fraction from 0 to 1, less than 1")
    mixing[-1] = background / (1 - background) * mixing.sum(axis=0)
    return mixing
