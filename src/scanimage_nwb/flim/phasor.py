"""Phasors of decay histograms, through phasorpy, in seconds and hertz.

The phasor at harmonic h is the mean over photons of exp(2 pi i h f t), with t the centre of a photon's bin and f the
repetition rate. A single lifetime lies on the universal circle, a mixture on the chord between its components, at the
distance of their photon fractions; wrap-around at the period changes nothing of that. What does is the IRF, taken off
by `calibrate_phasor`, and the background, which pulls towards the origin.
"""

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scanimage_nwb.errors import ScanImageNwbWarning
from scanimage_nwb.flim.lifetime import mask_few_photons
from scanimage_nwb.flim.model import DelayAxis, MeasuredIrf, ResponseIrf

__all__ = [
    "Phasor",
    "PhasorLifetimes",
    "calibrate_phasor",
    "decay_phasor",
    "filter_phasor",
    "irf_phasor",
    "lifetime_phasor",
    "phasor_fractions",
    "phasor_lifetimes",
]

Array = NDArray[np.float64]
_TO_PHASORPY = {"unit_conversion": 1.0}
"""phasorpy works in any units whose product is 1: seconds and hertz here."""


class Phasor(NamedTuple):
    """Phasor coordinates of histograms; harmonics, if several were asked for, come first."""

    n_photons: Array
    """Photons, shape (…)."""
    g: Array
    """Real part, shape ([harmonics,] …); NaN without photons."""
    s: Array
    """Imaginary part."""
    g_error: Array
    """Standard error of g by photon statistics."""
    s_error: Array
    """Standard error of s."""


class PhasorLifetimes(NamedTuple):
    """Lifetimes in seconds that a phasor would have if it were of one component."""

    phase_s: Array
    """From the phase."""
    modulation_s: Array
    """From the modulation."""
    normal_s: Array
    """Of the nearest point on the universal circle."""


def decay_phasor(
    histogram: ArrayLike,
    *,
    tcspc_resolution_s: float,
    repetition_rate_hz: float,
    harmonic: int | Sequence[int] = 1,
    min_photons: int = 1,
) -> Phasor:
    """Return the phasor of each histogram, not calibrated.

    Parameters
    ----------
    histogram : array-like of int, shape (…, num_bins)
        Photons by delay. Bins beyond the period count where they lie on the circle. A histogram shorter than the
        period lacks photons, and its phasor is wrong by them: a warning says so.
    tcspc_resolution_s : float
        Width of a bin in seconds.
    repetition_rate_hz : float
        Laser pulses per second.
    harmonic : int or sequence of int
        Multiples of the repetition rate.
    min_photons : int
        Where there are fewer, the result is NaN.

    Returns
    -------
    Phasor

    Raises
    ------
    ValueError
        If harmonics are not whole numbers from 1, or the histogram has too few bins.

    Examples
    --------
    >>> from scanimage_nwb.flim import DelayAxis, component_responses, Irf
    >>> axis = DelayAxis(625, 20e-12, 80e6)
    >>> decay = component_responses([2.2e-9], Irf(0.0, 0.0), axis)[0]
    >>> found = decay_phasor(decay * 1e6, tcspc_resolution_s=20e-12, repetition_rate_hz=80e6)
    >>> g, s = lifetime_phasor([2.2e-9], repetition_rate_hz=80e6)
    >>> bool(abs(found.g - g[0]) < 1e-4), bool(abs(found.s - s[0]) < 1e-4)
    (True, True)
    """
    from phasorpy.phasor import phasor_from_signal

    counts = np.asarray(histogram)
    counts = counts.astype(np.float64) if counts.dtype.kind not in "f" else counts
    axis = DelayAxis(counts.shape[-1], tcspc_resolution_s, repetition_rate_hz)
    if not axis.covers_period:
        warnings.warn(
            f"{axis.num_bins} bins of {tcspc_resolution_s} s are shorter than the period of {axis.period_s} s: photons "
            "that come later are missing, and the phasor is wrong by them; fit the decay instead",
            ScanImageNwbWarning,
            stacklevel=2,
        )
    harmonics = _check_harmonics(harmonic)
    phase = 2 * np.pi * repetition_rate_hz * axis.centres_s
    n_photons = np.asarray(counts.sum(axis=-1))
    rows = []
    for h in harmonics:
        _, g, s = phasor_from_signal(counts, axis=-1, sample_phase=h * phase)
        # The second moments of cosine and sine are those of twice the harmonic.
        _, double, _ = phasor_from_signal(counts, axis=-1, sample_phase=2 * h * phase)
        with np.errstate(invalid="ignore", divide="ignore"):
            errors = (
                np.sqrt(((1 + sign * double) / 2 - one**2).clip(0) / n_photons) for sign, one in ((1, g), (-1, s))
            )
            rows.append([mask_few_photons(one, n_photons, max(min_photons, 1)) for one in (g, s, *errors)])
    found = [np.stack(one) if np.ndim(harmonic) else one[0] for one in zip(*rows, strict=True)]
    return Phasor(n_photons, *found)


def lifetime_phasor(
    lifetime_s: ArrayLike, *, repetition_rate_hz: float, harmonic: int | Sequence[int] = 1
) -> tuple[Array, Array]:
    """Return where single lifetimes lie on the universal circle.

    Parameters
    ----------
    lifetime_s : array-like, shape (components,)
        Seconds.
    repetition_rate_hz, harmonic
        As for `decay_phasor`.

    Returns
    -------
    g, s : ndarray of float64, shape ([harmonics,] components)

    Examples
    --------
    >>> [one.round(3).tolist() for one in lifetime_phasor([0.0, 1 / (2 * np.pi * 80e6)], repetition_rate_hz=80e6)]
    [[1.0, 0.5], [0.0, 0.5]]
    """
    from phasorpy.lifetime import phasor_from_lifetime

    tau = np.atleast_1d(np.asarray(lifetime_s, np.float64))
    frequency = np.array(_check_harmonics(harmonic)) * repetition_rate_hz
    found = [phasor_from_lifetime(one, tau, **_TO_PHASORPY) for one in frequency]
    g, s = (np.stack(part).reshape(len(frequency), -1) for part in zip(*found, strict=True))
    return (g, s) if np.ndim(harmonic) else (g[0], s[0])


def irf_phasor(
    irf: ResponseIrf, *, tcspc_resolution_s: float, repetition_rate_hz: float, harmonic: int | Sequence[int] = 1
) -> tuple[Array, Array]:
    """Return the phasor of the instrument's response, which calibrates as a reference of lifetime 0.

    Parameters
    ----------
    irf : Irf or MeasuredIrf
        A Gaussian, or a measured response.
    tcspc_resolution_s, repetition_rate_hz, harmonic
        As for `decay_phasor`.

    Returns
    -------
    g, s : ndarray of float64, shape ([harmonics])

    Examples
    --------
    >>> from scanimage_nwb.flim import Irf
    >>> irf_phasor(Irf(0.0, 0.0), tcspc_resolution_s=20e-12, repetition_rate_hz=80e6)
    (array(1.), array(0.))
    """
    harmonics = np.array(harmonic)
    turn = 2 * np.pi * harmonics * repetition_rate_hz
    if isinstance(irf, MeasuredIrf):
        options = {"tcspc_resolution_s": tcspc_resolution_s, "repetition_rate_hz": repetition_rate_hz}
        found = decay_phasor(irf.weights, harmonic=harmonic, min_photons=0, **options)
        phasor = (found.g + 1j * found.s) * np.exp(1j * turn * irf.shift_s)
    else:
        inside = irf.as_units("seconds", tcspc_resolution_s)
        phasor = np.exp(1j * turn * inside.offset - (turn * inside.sigma) ** 2 / 2)
    return np.asarray(phasor.real), np.asarray(phasor.imag)


def calibrate_phasor(
    g: ArrayLike,
    s: ArrayLike,
    reference: tuple[ArrayLike, ArrayLike],
    *,
    repetition_rate_hz: float,
    reference_lifetime_s: float = 0.0,
    harmonic: int | Sequence[int] = 1,
) -> tuple[Array, Array]:
    """Return phasor coordinates freed of the instrument's response.

    Parameters
    ----------
    g, s : array-like, shape ([harmonics,] …)
        As `decay_phasor` gives them.
    reference : tuple of array-like, shape ([harmonics,] …)
        g and s of a reference measured in the same way, averaged over its pixels; or those of `irf_phasor`.
    repetition_rate_hz : float
        Laser pulses per second.
    reference_lifetime_s : float
        Lifetime of the reference in seconds; 0 for the response itself.
    harmonic : int or sequence of int
        What `g` and `s` were computed at.

    Returns
    -------
    g, s : ndarray of float64, shape ([harmonics,] …)

    Examples
    --------
    >>> from scanimage_nwb.flim import Irf
    >>> options = {"tcspc_resolution_s": 20e-12, "repetition_rate_hz": 80e6}
    >>> reference = irf_phasor(Irf(1.5e-9, 0.08e-9), **options)
    >>> g, s = calibrate_phasor(*reference, reference, repetition_rate_hz=80e6)
    >>> round(float(g), 6), round(float(s), 6)
    (1.0, 0.0)
    """
    from phasorpy.lifetime import phasor_calibrate

    g_reference, s_reference = (np.asarray(one, np.float64) for one in reference)
    if np.ndim(harmonic):
        rows = [
            calibrate_phasor(
                one_g,
                one_s,
                (one_g_reference, one_s_reference),
                repetition_rate_hz=repetition_rate_hz,
                reference_lifetime_s=reference_lifetime_s,
                harmonic=h,
            )
            for one_g, one_s, one_g_reference, one_s_reference, h in zip(
                np.asarray(g), np.asarray(s), g_reference, s_reference, _check_harmonics(harmonic), strict=True
            )
        ]
        first, second = (np.stack(part) for part in zip(*rows, strict=True))
        return first, second
    found = phasor_calibrate(
        np.asarray(g, np.float64),
        np.asarray(s, np.float64),
        np.ones_like(g_reference),
        g_reference,
        s_reference,
        frequency=repetition_rate_hz * _check_harmonics(harmonic)[0],
        lifetime=reference_lifetime_s,
        **_TO_PHASORPY,
    )
    return np.asarray(found[0]), np.asarray(found[1])


def phasor_lifetimes(g: ArrayLike, s: ArrayLike, *, repetition_rate_hz: float, harmonic: int = 1) -> PhasorLifetimes:
    """Return the lifetimes that calibrated phasors would have if they were of one component.

    Parameters
    ----------
    g, s : array-like, shape (…)
        Calibrated, at one harmonic.
    repetition_rate_hz, harmonic
        As for `decay_phasor`.

    Returns
    -------
    PhasorLifetimes
        NaN where coordinates are NaN; negative or infinite where they lie outside what one lifetime can give.

    Examples
    --------
    >>> phasor = lifetime_phasor([2.2e-9], repetition_rate_hz=80e6)
    >>> [round(float(one[0]) * 1e9, 6) for one in phasor_lifetimes(*phasor, repetition_rate_hz=80e6)]
    [2.2, 2.2, 2.2]
    """
    from phasorpy.lifetime import phasor_to_apparent_lifetime, phasor_to_normal_lifetime

    frequency = repetition_rate_hz * _check_harmonics(harmonic)[0]
    phase, modulation = phasor_to_apparent_lifetime(g, s, frequency, **_TO_PHASORPY)
    return PhasorLifetimes(phase, modulation, phasor_to_normal_lifetime(g, s, frequency, **_TO_PHASORPY))


def phasor_fractions(
    g: ArrayLike, s: ArrayLike, lifetimes_s: ArrayLike, *, repetition_rate_hz: float, harmonic: int | Sequence[int] = 1
) -> Array:
    """Return the photon fractions of components of known lifetimes.

    Two components at one harmonic are found on the chord between them; up to ``2 * harmonics + 1`` by least squares.

    Parameters
    ----------
    g, s : array-like, shape ([harmonics,] …)
        Calibrated.
    lifetimes_s : array-like, shape (components,)
        Seconds.
    repetition_rate_hz, harmonic
        As for `decay_phasor`.

    Returns
    -------
    ndarray of float64, shape (…, components)
        Not limited to 0 to 1: noise leads beyond. NaN where coordinates are NaN.

    Raises
    ------
    ValueError
        If there are too many components for the harmonics, or fewer than two.

    Examples
    --------
    >>> g, s = lifetime_phasor([0.6e-9, 2.6e-9], repetition_rate_hz=80e6)
    >>> mixed = 0.4 * g[0] + 0.6 * g[1], 0.4 * s[0] + 0.6 * s[1]
    >>> phasor_fractions(*mixed, [0.6e-9, 2.6e-9], repetition_rate_hz=80e6).round(6).tolist()
    [0.4, 0.6]
    """
    from phasorpy.component import phasor_component_fit, phasor_component_fraction

    tau = np.asarray(lifetimes_s, np.float64)
    n_harmonics = len(_check_harmonics(harmonic))
    if tau.ndim != 1 or not 2 <= tau.size <= 2 * n_harmonics + 1:
        raise ValueError(f"{tau.shape=} at {n_harmonics} harmonics; expected 2 to {2 * n_harmonics + 1} lifetimes")
    g_known, s_known = lifetime_phasor(tau, repetition_rate_hz=repetition_rate_hz, harmonic=harmonic)
    real, imag = np.asarray(g, np.float64), np.asarray(s, np.float64)
    if tau.size == 2 and not np.ndim(harmonic):
        first = np.asarray(phasor_component_fraction(real, imag, g_known, s_known))
        return np.stack([first, 1 - first], axis=-1)
    shape = real.shape[1:] if np.ndim(harmonic) else real.shape
    known = np.isfinite(real + imag).reshape(n_harmonics, -1).all(axis=0)
    columns = [np.reshape(one, (n_harmonics, -1))[:, known] for one in (real, imag)]
    if not np.ndim(harmonic):
        columns = [one[0] for one in columns]
    fractions = np.full((tau.size, known.size), np.nan)
    if known.any():
        fractions[:, known] = phasor_component_fit(np.ones(int(known.sum())), *columns, g_known, s_known)
    return np.moveaxis(fractions.reshape(tau.size, *shape), 0, -1)


def filter_phasor(phasor: Phasor, *, size: int = 3, repeat: int = 1) -> Phasor:
    """Return phasors of an image with g and s median filtered over rows and columns; NaN take no part.

    Parameters
    ----------
    phasor : Phasor
        Of shape ([harmonics,] …, rows, columns).
    size : int
        Side of the square neighbourhood.
    repeat : int
        How often to filter.

    Returns
    -------
    Phasor
        Errors are those of before.

    Examples
    --------
    >>> image = decay_phasor(np.ones((4, 4, 5)), tcspc_resolution_s=2.5e-9, repetition_rate_hz=80e6)
    >>> filter_phasor(image).g.shape
    (4, 4)
    """
    from phasorpy.phasor import phasor_filter_median

    g, s = np.empty_like(phasor.g), np.empty_like(phasor.s)
    n_photons = np.broadcast_to(phasor.n_photons, g.shape)
    images = (-1, *g.shape[-2:])
    for i, (mean, real, imag) in enumerate(
        zip(*(one.reshape(images) for one in (n_photons, phasor.g, phasor.s)), strict=True)
    ):
        _, g.reshape(images)[i], s.reshape(images)[i] = phasor_filter_median(mean, real, imag, size=size, repeat=repeat)
    return phasor._replace(g=g, s=s)


def _check_harmonics(harmonic: int | Sequence[int]) -> list[int]:
    found = np.atleast_1d(np.asarray(harmonic))
    if found.ndim != 1 or not found.size or found.dtype.kind not in "iu" or (found < 1).any():
        raise ValueError(f"{harmonic=}; expected a whole number from 1, or several")
    return [int(one) for one in found]
