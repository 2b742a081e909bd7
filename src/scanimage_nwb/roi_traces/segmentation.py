"""What a segmentation program found: masks, their traces and images, of one plane or volume."""

import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scanimage_nwb.errors import RoiError, ScanImageNwbWarning
from scanimage_nwb.roi_traces.extracting import check_rois
from scanimage_nwb.roi_traces.roi_set import RoiSet

__all__ = ["TRACE_NAMES", "Segmentation", "say_ignored"]

TRACE_NAMES = ("raw", "dff", "neuropil", "deconvolved", "denoised", "lifetime")
"""Kinds of traces, in roiextractors' words, and the lifetime of photons in seconds."""


@dataclass(frozen=True, slots=True, eq=False)
class Segmentation:
    """Masks with their traces."""

    rois: RoiSet
    """The masks."""
    traces: Mapping[str, NDArray] = field(default_factory=dict)
    """Shape (samples, rois) each, by kind: one of `TRACE_NAMES`, of a further channel with a suffix, as
    ``raw_channel2``."""
    images: Mapping[str, NDArray] = field(default_factory=dict)
    """``mean``, ``correlation`` …, shape (planes, rows, columns) each."""
    units: Mapping[str, str] = field(default_factory=dict)
    """Unit of traces by kind, where it is known."""
    sampling_rate_hz: float | None = None
    """Rate of samples, as the program was told; None if nobody said it."""
    plane: int | None = None
    """Plane of the recording that the masks were drawn in; None if they are of all planes, or nobody said it."""
    program: str = ""
    """What made it."""
    path: Path | None = None
    """Where it was read from."""

    @property
    def n_samples(self) -> int:
        """Number of samples; 0 without traces."""
        return next((len(trace) for trace in self.traces.values()), 0)

    def with_traces(self, **traces: ArrayLike) -> "Segmentation":
        """Return the same masks with further traces.

        Parameters
        ----------
        **traces : array-like, shape (samples, rois)
            By kind.

        Returns
        -------
        Segmentation
        """
        found = replace(self, traces={**self.traces, **{kind: np.asarray(trace) for kind, trace in traces.items()}})
        found.check()
        return found

    def first_samples(self, n: int) -> "Segmentation":
        """Return the same masks with the first samples of their traces.

        Parameters
        ----------
        n : int
            Number of samples.

        Returns
        -------
        Segmentation
        """
        return replace(self, traces={kind: trace[:n] for kind, trace in self.traces.items()})

    def check(self) -> None:
        """Refuse traces and images that do not fit the masks, or each other.

        Raises
        ------
        RoiError
            Names what does not fit.
        """
        where = f"{self.path}: " if self.path else ""
        for kind, trace in self.traces.items():
            if kind.split("_channel")[0] not in TRACE_NAMES:
                raise RoiError(f"{where}traces of kind {kind!r}; expected one of {', '.join(TRACE_NAMES)}")
            if trace.ndim != 2 or trace.shape[1] != self.rois.n_rois:
                raise RoiError(
                    f"{where}{kind} traces have shape {trace.shape}; expected (samples, {self.rois.n_rois}), one for "
                    "each mask"
                )
            if len(trace) != self.n_samples:
                raise RoiError(f"{where}{kind} traces have {len(trace)} samples, and others {self.n_samples}")
        for name, image in self.images.items():
            if image.shape != self.rois.shape:
                raise RoiError(f"{where}the {name} image has shape {image.shape}, and masks {self.rois.shape}")

    def check_against(self, source: Any, n_samples: int, shape: tuple[int, int, int]) -> None:
        """Refuse a segmentation of another recording.

        Parameters
        ----------
        source : object
            The recording, as it is to be named in a message.
        n_samples : int
            Samples of the recording.
        shape : tuple of int
            Its planes, rows and columns; one plane where the segmentation is of one.

        Raises
        ------
        RoiError
            If frames or their number disagree.
        """
        where = self.path or "the segmentation"
        try:
            check_rois(self.rois, shape)
        except RoiError as error:
            raise RoiError(f"{where} does not belong to {source}: {error}") from None
        if self.traces and self.n_samples != n_samples:
            raise RoiError(
                f"{where} does not belong to {source}: its traces have {self.n_samples} samples, and the recording "
                f"{n_samples}. Give the recording it was made of, or all of its files; where samples were left out "
                "before it was made, take traces anew with its masks: scanimage-nwb traces --rois"
            )


def say_ignored(path: Path, what: Sequence[str]) -> None:
    """Say in one warning what of a file was not taken over, at the line outside this package that asked for it.

    Parameters
    ----------
    path : Path
        The file or folder.
    what : sequence of str
        Nothing is said if it is empty.
    """
    if not what:
        return
    depth = 2
    while str(sys._getframe(depth - 1).f_globals.get("__name__")).startswith("scanimage_nwb."):
        depth += 1
    warnings.warn(f"{path}: not taken over: {', '.join(what)}", ScanImageNwbWarning, stacklevel=depth)
