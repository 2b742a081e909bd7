"""`ImParams`: a recording's header by module, and which pages belong to which timepoint, slice and colour."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scanimage_nwb.errors import FrameIndexError
from scanimage_nwb.recording import Recording

__all__ = ["ImParams", "ScanImageModule"]


class ScanImageModule:
    """One module of ScanImage's header; its values are attributes.

    Parameters
    ----------
    name : str
        Name without the leading h.
    values : dict
        Name to value; nested modules have a dot in their names.

    Examples
    --------
    >>> module = ScanImageModule("Scan2D", {"name": "MultiHarp", "hAcq.Tau_bins": 629})
    >>> module.name, module.hAcq.Tau_bins, module.Acq.Tau_bins
    ('MultiHarp', 629, 629)
    """

    def __init__(self, name: str, values: dict[str, Any]) -> None:
        self.module_name = name
        self.values = {key: value for key, value in values.items() if "." not in key}
        parts = {key.split(".", 1)[0] for key in values if "." in key}
        self.submodules = {
            part: ScanImageModule(
                part, {key[len(part) + 1 :]: value for key, value in values.items() if key.startswith(f"{part}.")}
            )
            for part in sorted(parts)
        }

    def __getattr__(self, name: str) -> Any:
        """Return a value or nested module by its name, with or without the h of modules."""
        if name.startswith("__") or "values" not in self.__dict__:
            raise AttributeError(name)
        for found in (self.values, self.submodules):
            if name in found:
                return found[name]
        if f"h{name}" in self.submodules:
            return self.submodules[f"h{name}"]
        raise AttributeError(
            f"the header has no {self.module_name}.{name}; it has {', '.join(self.values) or 'nothing'}"
        )

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self.values, *self.submodules]

    def __repr__(self) -> str:
        lines = [f"{self.module_name} module:", f"    submodules : {list(self.submodules)}"]
        return "\n".join(lines + [f"    {key} : {value}" for key, value in sorted(self.values.items())])


class ImParams:
    """What a recording holds: header modules as attributes, and lists of frames (pages) to read.

    A timepoint is one complete volume (of planar data, one frame); flyback is in none. Colours and slices count from
    0. Where ScanImage recorded several frames of each slice, each is a timepoint of its own.

    Parameters
    ----------
    recording : Recording
        The files.
    of_usual_shape : ndarray of bool, shape (pages,), optional
        Whether each page is of the recording's shape; a timepoint with one that is not is left out. By default all are.

    Examples
    --------
    >>> from scanimage_nwb.recording import open_recording
    >>> from scanimage_nwb.testing.siff_files import write_siff_recording
    >>> written = write_siff_recording(folder, channel_save=(1, 2), n_planes=2, n_flyback=1, n_volumes=3)
    >>> im_params = ImParams(open_recording(written.path))
    >>> im_params.array_shape, im_params.FastZ.discardFlybackFrames
    ((3, 2, 2, 16, 12), True)
    >>> im_params.flatten_by_timepoints(timepoint_end=2)
    [0, 2, 6, 8]
    """

    def __init__(self, recording: Recording, of_usual_shape: NDArray[np.bool_] | None = None) -> None:
        self.recording, self._of_usual_shape = recording, of_usual_shape
        values: dict[str, dict[str, Any]] = {"base": {}}
        keys = recording.header.keys()
        for key in keys:
            _, _, rest = key.partition(".")
            module, dot, name = rest.partition(".")
            if dot:
                values.setdefault(module.removeprefix("h"), {})[name] = recording.header.get(key)
            else:
                values["base"][module] = recording.header.get(key)
        self.modules = {name: ScanImageModule(name, found) for name, found in values.items()}

    def __getattr__(self, name: str) -> ScanImageModule:
        """Return a module of the header."""
        modules = self.__dict__.get("modules", {})
        if name in modules:
            return modules[name]
        raise AttributeError(f"the header has no module {name!r}; it has {', '.join(modules)}")

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self.modules]

    @property
    def roi_groups(self) -> dict[str, Any]:
        """ROI groups as ScanImage wrote them (JSON); empty if the file has none."""
        return self.recording.header.roi_groups or {}

    @property
    def num_frames(self) -> int:
        """Pages over all files, flyback included."""
        return self.recording.n_pages

    @property
    def num_slices(self) -> int:
        """Planes of a volume."""
        return self.recording.n_planes

    @property
    def num_colors(self) -> int:
        """Channels on disk."""
        return self.recording.n_channels

    @property
    def num_timepoints(self) -> int:
        """Complete volumes of frames of the usual shape; of planar data, frames."""
        return len(self._timepoint_pages)

    @property
    def frames_per_volume(self) -> int:
        """Pages of a volume, of all colours, flyback included."""
        return self.recording.index.layout.frames_per_volume * self.num_colors

    @property
    def flyback_frames(self) -> list[int]:
        """Pages recorded while z returned."""
        return np.flatnonzero(self.recording.index.is_flyback).tolist()

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of a frame."""
        return self.recording.page_shape

    @property
    def single_channel_volume(self) -> tuple[int, int, int]:
        """Slices, rows and columns of one colour of one timepoint."""
        return (self.num_slices, *self.shape)

    @property
    def volume(self) -> tuple[int, int, int, int]:
        """Slices, colours, rows and columns of one timepoint."""
        return (self.num_slices, self.num_colors, *self.shape)

    @property
    def array_shape(self) -> tuple[int, int, int, int, int]:
        """Timepoints, slices, colours, rows and columns: `flatten_by_timepoints(color_channel=None)` reshapes to it."""
        return (self.num_timepoints, *self.volume)

    def flatten_by_timepoints(
        self,
        timepoint_start: int = 0,
        timepoint_end: int | None = None,
        reference_z: int | None = None,
        color_channel: int | None = 0,
    ) -> list[int]:
        """Return the frames of some timepoints, in the order of `array_shape`.

        Parameters
        ----------
        timepoint_start, timepoint_end : int, optional
            First timepoint, and the one behind the last; by default all.
        reference_z : int, optional
            Slice to take; by default all.
        color_channel : int or None
            Colour to take, from 0; None takes all.

        Returns
        -------
        list of int

        Raises
        ------
        FrameIndexError
            If there is no such timepoint, slice or colour.
        """
        pages = self._bounded(timepoint_start, timepoint_end)
        if reference_z is not None:
            self._check("slice", reference_z, self.num_slices)
            pages = pages[:, reference_z : reference_z + 1]
        if color_channel is not None:
            self._check("color_channel", color_channel, self.num_colors)
            pages = pages[:, :, color_channel]
        return pages.reshape(-1).tolist()

    def framelist_by_color(
        self, color_channel: int | None = 0, lower_bound_timepoint: int = 0, upper_bound_timepoint: int | None = None
    ) -> list[int]:
        """Return the frames of one colour; parameters as for `flatten_by_timepoints`.

        Parameters
        ----------
        color_channel : int or None
            Colour from 0; None takes all.
        lower_bound_timepoint, upper_bound_timepoint : int, optional
            First timepoint, and the one behind the last.

        Returns
        -------
        list of int
        """
        return self.flatten_by_timepoints(lower_bound_timepoint, upper_bound_timepoint, None, color_channel)

    def framelist_by_slices(
        self,
        color_channel: int | None = 0,
        lower_bound: int = 0,
        upper_bound: int | None = None,
        slices: Sequence[int] | int | None = None,
    ) -> list[int]:
        """Return the frames of some slices; parameters as for `flatten_by_timepoints`.

        Parameters
        ----------
        color_channel : int or None
            Colour from 0; None takes all.
        lower_bound, upper_bound : int, optional
            First timepoint, and the one behind the last.
        slices : sequence of int or int, optional
            Slices to take, from 0; by default all.

        Returns
        -------
        list of int
        """
        pages = self._bounded(lower_bound, upper_bound)
        if slices is not None:
            wanted = np.atleast_1d(np.asarray(slices, np.int64))
            for z in wanted.tolist():
                self._check("slice", z, self.num_slices)
            pages = pages[:, wanted]
        if color_channel is not None:
            self._check("color_channel", color_channel, self.num_colors)
            pages = pages[:, :, color_channel]
        return pages.reshape(-1).tolist()

    def framelist_by_timepoint(
        self, timepoint: int, color_channel: int | None = 0, reference_z: int | None = None
    ) -> list[int]:
        """Return the frames of one timepoint; parameters as for `flatten_by_timepoints`.

        Parameters
        ----------
        timepoint : int
            From 0.
        color_channel : int or None
            Colour from 0; None takes all.
        reference_z : int, optional
            Slice to take.

        Returns
        -------
        list of int
        """
        return self.flatten_by_timepoints(timepoint, timepoint + 1, reference_z, color_channel)

    @property
    def _timepoint_pages(self) -> NDArray[np.int64]:
        """Pages of every timepoint, shape (timepoints, slices, colours)."""
        pages = self.recording.index.sample_pages
        pages = pages.reshape(-1, *pages.shape[2:])
        usual = self._of_usual_shape
        return pages if usual is None else pages[usual[pages].all(axis=(1, 2))]

    def _bounded(self, start: int, end: int | None) -> NDArray[np.int64]:
        """Return the pages of timepoints ``start:end``."""
        pages = self._timepoint_pages
        end = len(pages) if end is None else end
        if not 0 <= start <= end <= len(pages):
            raise FrameIndexError(f"timepoints {start} to {end} were asked for; there are {len(pages)}, from 0")
        return pages[start:end]

    @staticmethod
    def _check(what: str, value: int, n: int) -> None:
        """Refuse a slice or colour that is not there."""
        if not 0 <= value < n:
            raise FrameIndexError(f"{what} {value} was asked for; there are {n}, from 0")

    def __repr__(self) -> str:
        modules = sorted(self.modules, key=lambda name: (name != "base", name))
        names = "".join(f"\n            {name}" for name in modules)
        groups = "".join(f"\n            {name} : {_describe(group)}" for name, group in self.roi_groups.items())
        return (
            f"Image parameters:\n    ScanImage modules :{names}\n    num_frames : {self.num_frames}\n"
            f"    array_shape (timepoints, slices, colors, rows, columns) : {self.array_shape}\n    roi_groups :"
            f"{groups}"
        )


def _describe(group: Any) -> str:
    """Return the ROIs of a group and their scanfields in words; `ImParams.roi_groups` holds all of it."""
    group = group if isinstance(group, dict) else {}
    rois = [roi for roi in _as_list(group.get("rois")) if isinstance(roi, dict)]
    parts = []
    for roi in rois:
        fields = [field for field in _as_list(roi.get("scanfields")) if isinstance(field, dict)]
        sizes = dict.fromkeys(str(field["pixelResolutionXY"]) for field in fields if "pixelResolutionXY" in field)
        name = f"{roi['name']!r}: " if roi.get("name") else ""
        parts.append(f"{name}{len(fields)} scanfield(s)" + (f" of {', '.join(sizes)} pixels" if sizes else ""))
    return f"{len(rois)} ROI(s)" + (f" ({'; '.join(parts)})" if parts else "")


def _as_list(value: Any) -> list[Any]:
    """Return what JSON holds as a list: MATLAB writes one element without its brackets."""
    return value if isinstance(value, list) else [] if value is None else [value]
