"""Read photons back from NWB: the methods of `SiffReader` on the PhotonEventSeries of a file.

Each series is served as a file of .siff pages that exists only in pieces (see `photon_file`), so that the blocks,
threads and kernels of `siff_reader` do all the rest.
"""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import h5py
import numpy as np
from numpy.typing import NDArray

from scanimage_nwb.errors import FormatError, TimeAxisError, UnsupportedFormatError
from scanimage_nwb.formats.scanimage_header import ScanImageHeader
from scanimage_nwb.formats.siff import SiffFacts
from scanimage_nwb.nwb.photon_file import BrightPixelError, make_source
from scanimage_nwb.siff_reader import ImParams, SiffReader

__all__ = ["NwbPhotonReader", "open_photons"]

_HEAD_BYTES = 16
_PHOTON_BYTES = 8
_CACHED_CHUNKS = 16


def open_photons(source: Any, series: str | None = None) -> "NwbPhotonReader":
    """Open the photons of an NWB file.

    Parameters
    ----------
    source : path-like or file object
        An NWB file (HDF5), or an open binary file such as fsspec gives for a URL: of one that keeps the blocks that it
        has read (``fsspec.open(url, "rb", cache_type="blockcache")``), only what is asked for is fetched.
    series : str, optional
        Name of one PhotonEventSeries; by default all, each as a colour, in the order of their names.

    Returns
    -------
    NwbPhotonReader
        Close it, or use it in a ``with`` statement.

    Raises
    ------
    FormatError
        If there is no such series, or several do not have the same frames.

    Examples
    --------
    >>> from scanimage_nwb.nwb import FlimInterface, write_nwbfile
    >>> from scanimage_nwb.testing.siff_files import write_siff_recording
    >>> interface = FlimInterface(write_siff_recording(folder, n_volumes=20).path)
    >>> write_nwbfile(interface.create_nwbfile(), folder / "a.nwb", progress=False)
    >>> with open_photons(folder / "a.nwb") as reader:
    ...     reader.get_frames(frames=[0, 7]).shape, int(reader.get_histogram().sum())
    ((2, 16, 12), 4000)
    """
    name = str(source) if isinstance(source, str | Path) else str(getattr(source, "path", "NWB file"))
    file = h5py.File(source, "r")
    try:
        return NwbPhotonReader(file, name, _find_series(file, name, series))
    except BaseException:
        file.close()
        raise


def _find_series(file: h5py.File, name: str, series: str | None) -> list[h5py.Group]:
    """Return the PhotonEventSeries of a file by name; all must have the same frames."""
    found: list[h5py.Group] = []

    def visit(_path: str, item: Any) -> None:
        if isinstance(item, h5py.Group) and item.attrs.get("neurodata_type") == "PhotonEventSeries":
            found.append(item)

    file.visititems(visit)
    names = [group.name.rsplit("/", 1)[1] for group in found]
    chosen = [group for own, group in sorted(zip(names, found, strict=True)) if series in (None, own)]
    if not chosen:
        raise FormatError(f"{name} holds no PhotonEventSeries {series or ''}; it has {', '.join(names) or 'none'}")
    shapes = {(group["frame_end"].shape, *group["dimension"][:].tolist()) for group in chosen}
    if len(shapes) > 1:
        raise FormatError(f"{name}: {', '.join(names)} do not have the same frames; open one of them with series=")
    return chosen


def _minding_bright_pixels(method: Callable[..., Any]) -> Callable[..., Any]:
    """Let a method begin anew if it meets a pixel of more than 65,535 photons: such frames are then raw pages."""

    @wraps(method)
    def read(self: "NwbPhotonReader", *arguments: Any, **options: Any) -> Any:
        try:
            return method(self, *arguments, **options)
        except BrightPixelError:
            self._open_source(find_bright=True)
            return method(self, *arguments, **options)

    return read


class NwbPhotonReader(SiffReader):
    """Photons of an NWB file with the methods of `SiffReader`; made by `open_photons`.

    Frames count over time, planes and colours, colours fastest: what a .siff without flyback would number. Photons of
    a frame come in the order of pixels. The reader does not pickle, and writes no TIFF.

    Parameters
    ----------
    file : h5py.File
        Closed with the reader.
    name : str
        What messages call it.
    series : list of h5py.Group
        A PhotonEventSeries for each colour.
    """

    def __init__(self, file: h5py.File, name: str, series: list[h5py.Group]) -> None:
        super().__init__()
        self._file, self._series = file, series
        first = series[0]
        self.series_names: tuple[str, ...] = tuple(group.name.rsplit("/", 1)[1] for group in series)
        """Name of each colour's series."""
        settings = first["tcspc_settings"]
        self._facts = SiffFacts(
            int(settings.attrs["num_bins"]),
            float(settings["tcspc_resolution"][()]),
            float(settings["repetition_rate"][()]),
        )
        self._first_edge_s = float(settings["time_offset"][()]) if "time_offset" in settings else 0.0
        n_samples, n_planes = (*first["frame_end"].shape, 1)[:2]
        columns, rows = (int(size) for size in first["dimension"][:])
        self._recording = _frames_of(name, series, (n_samples, n_planes, len(series)), (rows, columns))  # type: ignore[assignment]
        self._im_params = ImParams(self._recording)  # type: ignore[arg-type]
        self._open_source(find_bright=False)
        self._heights = np.full(self.num_frames, rows)
        self._widths = np.full(self.num_frames, columns)
        self._of_usual_shape = np.ones(self.num_frames, bool)

    def _open_source(self, *, find_bright: bool) -> None:
        index = self.recording.index
        name = str(self.recording.paths[0])
        self._source = make_source(self._series, name, index.file_index, index.page_in_file, find_bright=find_bright)

    get_frames = _minding_bright_pixels(SiffReader.get_frames)
    get_histogram = _minding_bright_pixels(SiffReader.get_histogram)
    get_pixel_histogram = _minding_bright_pixels(SiffReader.get_pixel_histogram)
    sum_masks = _minding_bright_pixels(SiffReader.sum_masks)
    photons = _minding_bright_pixels(SiffReader.photons)

    @_minding_bright_pixels
    def flim_map(self, *arguments: Any, **options: Any) -> tuple[NDArray, NDArray]:
        """Return the lifetime of every pixel of every frame, as `SiffReader.flim_map`; bin 0 begins at `time_offset`.

        Parameters
        ----------
        *arguments, **options
            As for `SiffReader.flim_map`.

        Returns
        -------
        map, counts : ndarray, shape (frames, rows, columns)
        """
        found, counts = super().flim_map(*arguments, **options)
        return self._on_the_axis_of_delay(found, options.get("harmonic", 1)), counts

    @_minding_bright_pixels
    def sum_masks_flim(self, *arguments: Any, **options: Any) -> tuple[NDArray, NDArray]:
        """Return lifetimes within masks, as `SiffReader.sum_masks_flim`; bin 0 begins at `time_offset`.

        Parameters
        ----------
        *arguments, **options
            As for `SiffReader.sum_masks_flim`.

        Returns
        -------
        lifetime, counts : ndarray, shape (masks, frames)
        """
        found, counts = super().sum_masks_flim(*arguments, **options)
        return self._on_the_axis_of_delay(found, options.get("harmonic", 1)), counts

    def _on_the_axis_of_delay(self, found: NDArray, harmonic: int) -> NDArray:
        """Move lifetimes, or turn phasors, from delays that begin with bin 0 to those of the file."""
        if not self._first_edge_s:
            return found
        if found.dtype.kind == "c":
            turned: NDArray = found * np.exp(2j * np.pi * harmonic * self.repetition_rate_hz * self._first_edge_s)
            return turned
        return found + self._first_edge_s

    def get_time(
        self, frames: Any = None, reference_time: Any = "experiment", *, color_channel: int | None = 0
    ) -> NDArray:
        """Return when frames were recorded, in seconds on the clock of the NWB file; all planes of a volume share it.

        Parameters
        ----------
        frames, color_channel
            As for `get_frames`.
        reference_time : {'experiment'}
            The file has no other clock.

        Returns
        -------
        ndarray of float64, shape (frames,)

        Raises
        ------
        TimeAxisError
            If another clock is asked for.
        """
        if reference_time != "experiment":
            raise TimeAxisError(f"{self.recording.paths[0]} has no {reference_time}; use reference_time='experiment'")
        pages = self._pages(frames, color_channel)
        sample = pages // (self.im_params.num_slices * self.im_params.num_colors)
        group = self._series[0]
        if "timestamps" in group:
            return group["timestamps"][:][sample]
        start = group["starting_time"]
        return float(start[()]) + sample / float(start.attrs["rate"])

    def get_frame_metadata(self, *_arguments: Any, **_options: Any) -> NoReturn:
        """Raise: texts of pages are not in the NWB file.

        Raises
        ------
        UnsupportedFormatError
            Always.
        """
        raise UnsupportedFormatError(f"{self.recording.paths[0]} holds photons, and no texts of pages; open the .siff")

    def get_appended_text(self, *_arguments: Any, **_options: Any) -> NoReturn:
        """Raise, as `get_frame_metadata` does.

        Raises
        ------
        UnsupportedFormatError
            Always.
        """
        self.get_frame_metadata()

    def register(self, *_arguments: Any, **_options: Any) -> NoReturn:
        """Raise: motion is found in the .siff; shifts that were found go into `registration_dict`.

        Raises
        ------
        UnsupportedFormatError
            Always.
        """
        raise UnsupportedFormatError(
            f"{self.recording.paths[0]}: motion is found in the .siff; set registration_dict to the shifts found there"
        )

    def close(self) -> None:
        """Close the file for good."""
        self._file.close()

    def __getstate__(self) -> NoReturn:
        raise TypeError("a reader of an NWB file does not pickle; open the file anew with open_photons")

    def __repr__(self) -> str:
        return f"NwbPhotonReader({str(self.recording.paths[0])!r}): {self.num_frames} frames of {self.im_params.shape}"


def _frames_of(
    name: str, series: list[h5py.Group], counts: tuple[int, int, int], page_shape: tuple[int, int]
) -> SimpleNamespace:
    """Return what `SiffReader` asks of a recording: which frame lies where."""
    n_samples, n_planes, n_channels = counts
    n_pages = n_samples * n_planes * n_channels
    pages = np.arange(n_pages, dtype=np.int64)
    frame = pages // n_channels
    index = SimpleNamespace(
        frame=frame,
        plane=frame % n_planes,
        is_flyback=np.zeros(n_pages, bool),
        file_index=pages % n_channels,
        page_in_file=frame,
        sample_pages=pages.reshape(n_samples, 1, n_planes, n_channels),
        layout=SimpleNamespace(frames_per_volume=n_planes),
    )
    return SimpleNamespace(
        paths=(Path(name),),
        n_pages=n_pages,
        n_planes=n_planes,
        n_channels=n_channels,
        page_shape=page_shape,
        channel_names=tuple(group.name.rsplit("/", 1)[1] for group in series),
        header=ScanImageHeader.from_text("", source=name),
        index=index,
    )
