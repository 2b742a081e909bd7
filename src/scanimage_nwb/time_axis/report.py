"""What an alignment of pulses to events gave, and how well it fits."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["AlignmentReport", "PulseAlignment"]


@dataclass(frozen=True, slots=True, eq=False)
class AlignmentReport:
    """How pulses were put to events, and how well they fit."""

    n_events: int
    """Events of the recording."""
    n_pulses: int
    """Pulses of the train."""
    n_matched: int
    """Events that have their pulse."""
    lost_events: NDArray[np.int64]
    """Events without a pulse; they have the fitted time."""
    displaced_events: NDArray[np.int64]
    """Events whose pulse lies too far off to be believed; they have the fitted time."""
    extra_pulses: NDArray[np.int64]
    """Pulses that belong to no event."""
    n_extra_before: int
    """Of these, before the first event."""
    n_extra_after: int
    """Of these, after the last event."""
    first_pulse: int
    """Pulse of the first event that has one …"""
    first_matched_event: int
    """… which is this one."""
    offset_s: float
    """Time of the first event on the pulses' clock."""
    drift_ppm: float
    """How much the pulses' clock runs fast against the recording's."""
    residual_rms_us: float
    """Root mean square of what is left of the matched pulses after the fit, in microseconds."""
    residual_max_us: float
    """The largest of them."""
    jitter_us: float
    """Their spread without outliers."""
    identified_by: str
    """What told this match from its shift by one event: "anchor", "spacing" (of pulses, and gaps), "count"."""
    odds_against: float
    """Odds that another match is the right one."""
    alignment_times: str
    """"pulses" if events have the time of their pulse, "fit" if all have the fitted time."""

    @property
    def n_extra_inside(self) -> int:
        """Spurious pulses between the first event and the last."""
        return len(self.extra_pulses) - self.n_extra_before - self.n_extra_after

    def __str__(self) -> str:
        return (
            f"{self.n_matched} of {self.n_events} events have a pulse ({len(self.lost_events)} lost, "
            f"{len(self.displaced_events)} displaced); of {self.n_pulses} pulses {self.n_extra_before} come before, "
            f"{self.n_extra_after} after and {self.n_extra_inside} between them. Offset {self.offset_s:.6f} s, drift "
            f"{self.drift_ppm:+.2f} ppm, residual {self.residual_rms_us:.2f} us rms, {self.residual_max_us:.2f} us at "
            f"most; identified by {self.identified_by}"
        )


@dataclass(frozen=True, slots=True, eq=False)
class PulseAlignment:
    """The events of a recording on the clock of the pulses."""

    event_times_s: NDArray[np.float64]
    """Time of each event on the pulses' clock, shape (n_events,)."""
    pulse_of_event: NDArray[np.int64]
    """Pulse of each event, -1 where it is lost, shape (n_events,)."""
    native_times_s: NDArray[np.float64]
    """Time of each event on the recording's clock."""
    rate: float
    """Seconds of the pulses' clock per second of the recording's."""
    report: AlignmentReport
    """How it was found."""

    def at(self, native_times_s: ArrayLike, event: ArrayLike) -> NDArray[np.float64]:
        """Return times of the recording's clock on that of the pulses.

        Parameters
        ----------
        native_times_s : array-like of float
            Times on the recording's clock.
        event : array-like of int
            Event that each is counted from; -1 and `n_events` stand for the first and the last.

        Returns
        -------
        ndarray of float64
        """
        base = np.clip(np.asarray(event, np.int64), 0, len(self.event_times_s) - 1)
        since = np.asarray(native_times_s, np.float64) - self.native_times_s[base]
        return self.event_times_s[base] + since * self.rate
