"""Every photon without loss: how pixels become steps, and the series that holds them."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pynwb import docval, register_class

from ndx_flim._generated import check_unit, generated, with_defaults

__all__ = ["PhotonEventSeries", "pixels_from_steps", "steps_from_pixels"]

_GeneratedEvents: Any = generated("PhotonEventSeries")
_MOST_PIXELS_OF_16_BITS = 1 << 16


def steps_from_pixels(pixel: ArrayLike, frame_end: ArrayLike, num_pixels: int) -> NDArray[np.unsignedinteger]:
    """Return the step from photon to photon, as `PhotonEventSeries.pixel_step` holds it.

    Parameters
    ----------
    pixel : array-like of int, shape (num_photons,)
        Pixel of each photon, ascending within each frame.
    frame_end : array-like of int
        Index of the photon behind the last one of each frame.
    num_pixels : int
        Pixels of a frame.

    Returns
    -------
    ndarray of uint16 or uint32, shape (num_photons,)
        uint16 if a frame has at most 65,536 pixels.

    Raises
    ------
    ValueError
        If pixels are not ascending or outside the frame, or `frame_end` does not end at the last photon.

    Examples
    --------
    >>> steps_from_pixels([3, 3, 7, 1, 4], [3, 3, 5], 12).tolist()
    [3, 0, 4, 1, 3]
    """
    pixels, ends = np.asarray(pixel).astype(np.int64), np.asarray(frame_end).astype(np.int64).reshape(-1)
    if (len(ends) and ends[-1] != len(pixels)) or (not len(ends) and len(pixels)):
        raise ValueError(f"frame_end ends at {ends[-1:].tolist()}; there are {len(pixels)} photons")
    if len(pixels) and not 0 <= pixels.min() <= pixels.max() < num_pixels:
        raise ValueError(f"pixels range from {pixels.min()} to {pixels.max()}; expected 0 to {num_pixels - 1}")
    steps = np.diff(pixels, prepend=0)
    starts = np.unique(np.concatenate([[0], ends[:-1]]))
    starts = starts[starts < len(pixels)]
    steps[starts] = pixels[starts]
    if len(steps) and steps.min() < 0:
        raise ValueError(f"photon {int(np.argmax(steps < 0))} lies before the one before it; sort each frame by pixel")
    return steps.astype(np.uint16 if num_pixels <= _MOST_PIXELS_OF_16_BITS else np.uint32)


def pixels_from_steps(pixel_step: ArrayLike, frame_end: ArrayLike) -> NDArray[np.int64]:
    """Return the pixel of each photon.

    Parameters
    ----------
    pixel_step : array-like of int, shape (num_photons,)
        Steps of whole frames.
    frame_end : array-like of int
        Index of the photon behind the last one of each frame, counted from the first of `pixel_step`.

    Returns
    -------
    ndarray of int64, shape (num_photons,)

    Examples
    --------
    >>> pixels_from_steps([3, 0, 4, 1, 3], [3, 3, 5]).tolist()
    [3, 3, 7, 1, 4]
    """
    total = np.cumsum(np.asarray(pixel_step), dtype=np.int64)
    ends = np.asarray(frame_end).astype(np.int64).reshape(-1)
    before = np.concatenate([[0], total])[np.concatenate([[0], ends[:-1]])] if len(ends) else np.zeros(0, np.int64)
    return total - np.repeat(before, np.diff(ends, prepend=0))


@register_class("PhotonEventSeries", "ndx-flim")
class PhotonEventSeries(_GeneratedEvents):
    """Every photon of one detector channel, without loss; see the specification for each field."""

    @docval(*with_defaults(_GeneratedEvents, unit="photons"))
    def __init__(self, **kwargs: Any) -> None:
        check_unit(self, kwargs, "photons")
        super().__init__(**kwargs)

    @classmethod
    def from_photons(
        cls,
        *,
        frame: ArrayLike,
        pixel: ArrayLike,
        delay_bin: ArrayLike,
        shape: tuple[int, ...],
        pulse_number: ArrayLike | None = None,
        **fields: Any,
    ) -> "PhotonEventSeries":
        """Make a series of photons in any order.

        Parameters
        ----------
        frame : array-like of int, shape (num_photons,)
            Frame of each photon, from 0; of volumes, ``sample * depth + plane``.
        pixel : array-like of int, shape (num_photons,)
            ``y * width + x``.
        delay_bin : array-like of int, shape (num_photons,)
            Delay in bins of the settings.
        shape : tuple of int
            (time, width, height[, depth]).
        pulse_number : array-like of int, optional
            Pulses since the start of the frame.
        **fields
            Other arguments of the class: ``name``, ``imaging_plane``, ``tcspc_settings``, ``timestamps`` or ``rate`` …

        Returns
        -------
        PhotonEventSeries

        Raises
        ------
        ValueError
            If photons lie outside the frames or beyond the last delay bin.

        Examples
        --------
        >>> from ndx_flim import TCSPCSettings
        >>> from pynwb.testing.mock.ophys import mock_ImagingPlane
        >>> settings = TCSPCSettings(name="tcspc", num_bins=629, repetition_rate=80e6, tcspc_resolution=2e-11)
        >>> series = PhotonEventSeries.from_photons(
        ...     name="PhotonEventSeries", frame=[2, 0, 0], pixel=[5, 9, 1], delay_bin=[80, 75, 300], shape=(3, 4, 3),
        ...     imaging_plane=mock_ImagingPlane(), tcspc_settings=settings, rate=30.0, motion_corrected=False)
        >>> series.data.tolist(), [found.tolist() for found in series.get_photons(0)]
        ([2, 0, 1], [[1, 9], [300, 75]])
        """
        n_samples, width, height, *depth = shape
        sample_shape = (n_samples, *depth)
        n_frames, n_pixels = int(np.prod(sample_shape)), width * height
        frames, pixels, delays = (np.asarray(values) for values in (frame, pixel, delay_bin))
        limits = {"frame": n_frames, "pixel": n_pixels, "delay_bin": int(fields["tcspc_settings"].num_bins)}
        for (what, limit), values in zip(limits.items(), (frames, pixels, delays), strict=True):
            if values.shape != frames.shape or values.ndim != 1:
                raise ValueError(f"{what} has shape {values.shape}; expected that of frame, {frames.shape}, one axis")
            if values.size and (values.dtype.kind not in "iu" or values.min() < 0 or values.max() >= limit):
                raise ValueError(f"{what} ranges from {values.min()} to {values.max()}; expected 0 to {limit - 1}")
        order = np.lexsort((pixels, frames))
        counts = np.bincount(frames.astype(np.int64), minlength=n_frames)
        ends = np.cumsum(counts)
        if pulse_number is not None:
            fields["pulse_number"] = np.asarray(pulse_number)[order].astype(np.uint32)
        bins_type = np.uint16 if limits["delay_bin"] <= 1 << 16 else np.uint32
        return cls(
            data=counts.astype(np.uint32).reshape(sample_shape),
            frame_end=ends.astype(np.uint64).reshape(sample_shape),
            delay_bin=delays[order].astype(bins_type),
            pixel_step=steps_from_pixels(pixels[order], ends, n_pixels),
            dimension=np.array([width, height], np.uint32),
            **fields,
        )

    def get_photons(self, sample: int, plane: int | None = None) -> tuple[NDArray[np.int64], NDArray]:
        """Read the photons of one frame.

        Parameters
        ----------
        sample : int
            Index along time, from 0.
        plane : int, optional
            Plane of a volume, from 0.

        Returns
        -------
        pixel : ndarray of int64, shape (n,)
            ``y * width + x``, ascending.
        delay_bin : ndarray, shape (n,)
            Delay in bins of the settings.

        Raises
        ------
        IndexError
            If there is no such frame.
        """
        n_samples, *depth = self.frame_end.shape
        if bool(depth) != (plane is not None):
            raise IndexError(f"plane is {plane}; this series has {'planes' if depth else 'none'}")
        if not 0 <= sample < n_samples or (depth and not 0 <= plane < depth[0]):  # type: ignore[operator]
            raise IndexError(f"frame {sample}, plane {plane} was asked for; there are {self.frame_end.shape}, from 0")
        at = (sample,) if plane is None else (sample, plane)
        stop = int(self.frame_end[at])
        start = stop - int(self.data[at])
        return np.cumsum(self.pixel_step[start:stop], dtype=np.int64), np.asarray(self.delay_bin[start:stop])

    def get_counts(self, sample: int, plane: int | None = None) -> NDArray[np.int64]:
        """Read the number of photons of each pixel of one frame; parameters as for `get_photons`.

        Parameters
        ----------
        sample, plane : int
            As for `get_photons`.

        Returns
        -------
        ndarray of int64, shape (width, height)
        """
        width, height = (int(size) for size in self.dimension[:])
        pixel, _ = self.get_photons(sample, plane)
        return np.bincount(pixel, minlength=width * height).reshape(height, width).T
