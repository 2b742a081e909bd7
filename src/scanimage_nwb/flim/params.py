"""What a decay is made of: `Exp`, `Irf` and `FLIMParams`, in units that convert.

Fractions are of photons, not of amplitudes: a component with ``frac=0.4`` emits 40 % of the fluorescence photons, over
the whole period of the laser. The background is a fraction of all photons, spread evenly over the period. So the
probability density of a photon's delay is ``(1 - background) * sum(frac * decay) + background * repetition_rate``.
"""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from scanimage_nwb.errors import MetadataError

__all__ = ["Exp", "FLIMParams", "Irf", "Units"]

Units = Literal["seconds", "nanoseconds", "picoseconds", "countbins"]
"""Units of times; "countbins" are bins of the delay histogram, whose width has to be given to convert them."""

_PER_SECOND = {"seconds": 1.0, "nanoseconds": 1e9, "picoseconds": 1e12}
_JSON_FORMAT = "scanimage-nwb FLIMParams 1"
_FRACTION_TOLERANCE = 1e-6


def _scale(units: Units, target: Units, tcspc_resolution_s: float | None) -> float:
    """Return what a time in `units` is multiplied with to be in `target`."""
    if units == target:
        return 1.0
    per_second = dict(_PER_SECOND)
    if tcspc_resolution_s is not None:
        per_second["countbins"] = 1 / tcspc_resolution_s
    for one in (units, target):
        if one not in per_second:
            if one == "countbins":
                raise ValueError("count bins convert to seconds by their width: give tcspc_resolution_s")
            raise ValueError(f"units are {one!r}; expected one of {get_args(Units)}")
    return per_second[target] / per_second[units]


def _check_units(units: str) -> None:
    if units not in get_args(Units):
        raise ValueError(f"units are {units!r}; expected one of {get_args(Units)}")


@dataclass(frozen=True, slots=True)
class Exp:
    """One component of a decay: an exponential.

    Examples
    --------
    >>> Exp(tau=2.6, frac=0.6, units="nanoseconds").as_units("picoseconds")
    Exp(tau=2600.0, frac=0.6, units='picoseconds')
    """

    tau: float
    """Lifetime: the time in which the component's emission falls to 1/e."""
    frac: float = 1.0
    """Fraction of the fluorescence photons, from 0 to 1."""
    units: Units = "seconds"
    """Units of `tau`."""

    def __post_init__(self) -> None:
        _check_units(self.units)
        if self.tau < 0:
            raise ValueError(f"tau is {self.tau}; a lifetime is not negative")
        if not (math.isnan(self.frac) or -_FRACTION_TOLERANCE <= self.frac <= 1 + _FRACTION_TOLERANCE):
            raise ValueError(f"frac is {self.frac}; expected a fraction from 0 to 1")

    def as_units(self, units: Units, tcspc_resolution_s: float | None = None) -> "Exp":
        """Return the same component in other units; see `FLIMParams.as_units`."""
        return replace(self, tau=self.tau * _scale(self.units, units, tcspc_resolution_s), units=units)


@dataclass(frozen=True, slots=True)
class Irf:
    """The instrument's response to light that comes with the laser pulse: a Gaussian.

    Examples
    --------
    >>> Irf(offset=1.5, sigma=0.08, units="nanoseconds").as_units("countbins", tcspc_resolution_s=20e-12)
    Irf(offset=75.0, sigma=4.0, units='countbins')
    """

    offset: float
    """Centre: the mean delay of light without a lifetime."""
    sigma: float
    """Breadth: the standard deviation; the full width at half maximum is 2.355 of it."""
    units: Units = "seconds"
    """Units of both."""

    def __post_init__(self) -> None:
        _check_units(self.units)
        if self.sigma < 0:
            raise ValueError(f"sigma is {self.sigma}; a breadth is not negative")

    def as_units(self, units: Units, tcspc_resolution_s: float | None = None) -> "Irf":
        """Return the same response in other units; see `FLIMParams.as_units`."""
        scale = _scale(self.units, units, tcspc_resolution_s)
        return Irf(self.offset * scale, self.sigma * scale, units)


@dataclass(frozen=True, slots=True)
class FLIMParams:
    """A fluorescence decay: its components, the instrument's response and the background.

    Parameters
    ----------
    exps : sequence of Exp
        One component or more; their fractions add up to 1. NaN stands for what a fit could not find.
    irf : Irf
        Response of the instrument.
    background : float
        Fraction of all photons that come evenly at any delay (dark counts, ambient light); `noise` is the same.

    Raises
    ------
    ValueError
        If there is no component, fractions do not add up to 1, or units differ.

    Examples
    --------
    >>> params = FLIMParams((Exp(0.6, 0.4, "nanoseconds"), Exp(2.6, 0.6, "nanoseconds")), Irf(1.5, 0.08, "nanoseconds"))
    >>> round(params.mean_lifetime, 12), params.as_units("seconds").exps[1].tau
    (1.8, 2.6e-09)
    >>> FLIMParams.from_tuple(params.to_tuple(), units="nanoseconds") == params
    True
    """

    exps: tuple[Exp, ...]
    irf: Irf
    background: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "exps", tuple(self.exps))
        if not self.exps:
            raise ValueError("a decay has at least one component")
        if len({*(exp.units for exp in self.exps), self.irf.units}) > 1:
            raise ValueError(f"units differ: {[exp.units for exp in self.exps]} and {self.irf.units!r} of the IRF")
        total = math.fsum(self.fractions)
        if abs(total - 1) > _FRACTION_TOLERANCE:
            raise ValueError(f"fractions {self.fractions} add up to {total}; expected 1")
        if not (math.isnan(self.background) or 0 <= self.background <= 1):
            raise ValueError(f"background is {self.background}; expected a fraction from 0 to 1")

    @property
    def units(self) -> Units:
        """Units of all times."""
        return self.irf.units

    @property
    def lifetimes(self) -> tuple[float, ...]:
        """Lifetime of each component."""
        return tuple(exp.tau for exp in self.exps)

    @property
    def fractions(self) -> tuple[float, ...]:
        """Fraction of fluorescence photons of each component."""
        return tuple(exp.frac for exp in self.exps)

    @property
    def amplitudes(self) -> tuple[float, ...]:
        """Share of each component in the emission at time 0: its fraction over its lifetime, adding up to 1."""
        heights = [exp.frac / exp.tau if exp.tau > 0 else math.inf for exp in self.exps]
        return tuple(height / math.fsum(heights) for height in heights)

    @property
    def noise(self) -> float:
        """The background, by the name that SiffPy gives it."""
        return self.background

    @property
    def mean_lifetime(self) -> float:
        """Mean time from excitation to photon: lifetimes weighted by fractions of photons."""
        return math.fsum(exp.frac * exp.tau for exp in self.exps)

    @property
    def amplitude_weighted_lifetime(self) -> float:
        """Lifetimes weighted by amplitudes, as quantum yields and FRET efficiencies need it."""
        return math.fsum(exp.tau * amplitude for exp, amplitude in zip(self.exps, self.amplitudes, strict=True))

    def as_units(self, units: Units, tcspc_resolution_s: float | None = None) -> "FLIMParams":
        """Return the same decay in other units.

        Parameters
        ----------
        units : {'seconds', 'nanoseconds', 'picoseconds', 'countbins'}
            Units wanted.
        tcspc_resolution_s : float, optional
            Width of a delay bin in seconds; needed from and to "countbins".

        Returns
        -------
        FLIMParams

        Raises
        ------
        ValueError
            If units are unknown, or the width of a bin is needed and missing.
        """
        exps = tuple(exp.as_units(units, tcspc_resolution_s) for exp in self.exps)
        return FLIMParams(exps, self.irf.as_units(units, tcspc_resolution_s), self.background)

    def sorted(self) -> "FLIMParams":
        """Return the same decay with lifetimes ascending."""
        return replace(self, exps=tuple(sorted(self.exps, key=lambda exp: exp.tau)))

    def to_tuple(self) -> tuple[float, ...]:
        """Return (tau, frac) of each component in turn, then offset and sigma of the IRF, then the background."""
        pairs = [value for exp in self.exps for value in (exp.tau, exp.frac)]
        return (*pairs, self.irf.offset, self.irf.sigma, self.background)

    @classmethod
    def from_tuple(cls, values: Iterable[float], *, units: Units = "seconds") -> "FLIMParams":
        """Make a decay of the numbers that `to_tuple` gives; the background may be left out.

        Parameters
        ----------
        values : sequence of float, length 2 n + 2 or 2 n + 3
            For n components.
        units : str
            Units of the times among them.

        Returns
        -------
        FLIMParams
        """
        found = [float(value) for value in values]
        if len(found) < 4:
            raise ValueError(f"{len(found)} numbers; expected tau, frac of each component, offset, sigma[, background]")
        background = found.pop() if len(found) % 2 else 0.0
        *pairs, offset, sigma = found
        exps = tuple(Exp(tau, frac, units) for tau, frac in zip(pairs[::2], pairs[1::2], strict=True))
        return cls(exps, Irf(offset, sigma, units), background)

    def to_dict(self) -> dict[str, Any]:
        """Return the decay as plain numbers and names."""
        return {
            "format": _JSON_FORMAT,
            "units": self.units,
            "exps": [{"tau": exp.tau, "frac": exp.frac} for exp in self.exps],
            "irf": {"offset": self.irf.offset, "sigma": self.irf.sigma},
            "background": self.background,
        }

    @classmethod
    def from_dict(cls, content: Any) -> "FLIMParams":
        """Make a decay of what `to_dict` gives.

        Raises
        ------
        MetadataError
            If something is missing or of the wrong kind.
        """
        try:
            if content["format"] != _JSON_FORMAT:
                raise MetadataError(f"format is {content['format']!r}; expected {_JSON_FORMAT!r}")
            units, irf = content["units"], content["irf"]
            exps = tuple(Exp(float(exp["tau"]), float(exp["frac"]), units) for exp in content["exps"])
            return cls(exps, Irf(float(irf["offset"]), float(irf["sigma"]), units), float(content["background"]))
        except (KeyError, TypeError) as error:
            raise MetadataError(f"not the parameters of a decay: {error!r}; write them with FLIMParams.save") from error
        except MetadataError:
            raise
        except ValueError as error:
            raise MetadataError(f"not the parameters of a decay: {error}") from error

    def save(self, path: str | Path) -> None:
        """Write the decay to a JSON file.

        Parameters
        ----------
        path : path-like
            Written over if it is there.
        """
        Path(path).write_text(json.dumps(self.to_dict(), indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> "FLIMParams":
        """Read a decay that `save` wrote.

        Parameters
        ----------
        path : path-like
            The JSON file.

        Returns
        -------
        FLIMParams

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        MetadataError
            If it holds something else.

        Examples
        --------
        >>> params = FLIMParams((Exp(2.2e-9),), Irf(1.5e-9, 8e-11), background=0.05)
        >>> params.save(folder / "decay.json")
        >>> FLIMParams.load(folder / "decay.json") == params
        True
        """
        try:
            return cls.from_dict(json.loads(Path(path).read_text(encoding="utf-8")))
        except (json.JSONDecodeError, UnicodeDecodeError, MetadataError) as error:
            raise MetadataError(f"{path}: {error}") from error


def exps_of(lifetimes: Sequence[float], fractions: Sequence[float], units: Units = "seconds") -> tuple[Exp, ...]:
    """Return components of lifetimes and fractions."""
    return tuple(Exp(float(tau), float(frac), units) for tau, frac in zip(lifetimes, fractions, strict=True))
