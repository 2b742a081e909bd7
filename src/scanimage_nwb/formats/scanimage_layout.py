"""What the header says about the order of the pages: channels, planes, flyback, averaging and rates.

ScanImage writes channel fastest, then the frames of a slice, then slices, then flyback, then volumes. All its
counts are of frames as acquired; averaging N frames into one divides the number of pages by N. Here every count is
of pages. The header is a claim: whoever reads pages checks it against their frame numbers and timestamps.

Per version, after ScanImage's own reader: since 2018 ``hStackManager.actualNumSlices`` is the number of planes and
``numFramesPerVolume = actualNumSlices * framesPerSlice``; before, fast stacks hold one frame of each slice. One
plane is planar, whatever the stack manager says.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from scanimage_nwb.errors import UnsupportedFormatError
from scanimage_nwb.formats.matlab_literal import as_list
from scanimage_nwb.formats.scanimage_header import ScanImageHeader

__all__ = ["AcquisitionLayout", "parse_layout"]


@dataclass(frozen=True, slots=True)
class AcquisitionLayout:
    """How the pages of a recording follow each other, as its header claims."""

    channel_names: tuple[str, ...]
    """Names of the saved channels, as the vendor's software shows them; empty if the header names no channel."""
    channel_numbers: tuple[int, ...]
    """The vendor's numbers of the saved channels, from 1, in page order."""
    n_planes: int
    """Planes in a volume; 1 for a planar recording."""
    frames_per_slice: int
    """Pages of each plane in a volume, per channel; 1 for a planar recording, unless flyback interrupts it."""
    n_flyback: int
    """Pages at the end of each volume, per channel, that were recorded while z returned."""
    averaging: int
    """Frames averaged into one page."""
    slow_stack: bool
    """True if z steps between acquisitions (all frames of a slice first), False if it moves with every volume."""
    stack_enabled: bool
    """True if the stack manager was on, even for one plane."""
    frame_rate_hz: float | None
    """Pages per second, per channel: the header's frame rate divided by `averaging`."""
    volume_rate_hz: float | None
    """Volumes per second as the header claims it; it counts every frame, so averaging does not change it."""
    planes_separable: bool
    """False if averaging mixes planes or flyback into one page; the page counts are then rounded down."""
    z_um: tuple[float, ...]
    """Depth of each plane, shape (n_planes,); empty if unknown."""
    line_period_s: float | None
    """Time from one line to the next."""
    missing_keys: tuple[str, ...]
    """Keys that were needed and that the header lacks."""
    disputed_flyback: int = 0
    """Pages a volume that are flyback by the header's counts of frames, though it says that FastZ is off, so that z
    cannot fly back. They are not part of `n_flyback`."""


@dataclass
class _Fields:
    """A header, and the needed keys that it turned out to lack."""

    header: ScanImageHeader
    prefix: str
    missing: list[str] = field(default_factory=list)

    def key(self, name: str, *, needed: bool = True) -> str:
        """Return the full key, and note it if the header lacks it."""
        key = self.prefix + name
        if needed and key not in self.header and key not in self.missing:
            self.missing.append(key)
        return key

    def count(self, name: str, *, minimum: int = 0, needed: bool = True) -> int | None:
        """Return a whole number, None if missing."""
        return self.header.count(self.key(name, needed=needed), minimum=minimum)

    def flag(self, name: str, *, needed: bool = True) -> bool | None:
        """Return a boolean, None if missing."""
        return self.header.flag(self.key(name, needed=needed))

    def finite_count(self, name: str, *, needed: bool = True) -> int | None:
        """Return a whole number >= 1, None if missing or ``Inf``."""
        number = self.header.number(self.key(name, needed=needed))
        return None if number == math.inf else self.count(name, minimum=1, needed=needed)

    def positive(self, name: str) -> float | None:
        """Return a rate or period, None if missing or of no use."""
        return self.header.positive(self.key(name))


@dataclass(frozen=True, slots=True)
class _Volume:
    """One volume in frames as acquired."""

    n_planes: int = 1
    frames_per_slice: int = 1
    n_flyback: int = 0
    disputed_flyback: int = 0
    slow: bool = False


def parse_layout(header: ScanImageHeader) -> AcquisitionLayout:
    r"""Return the order of the pages that a header claims.

    Parameters
    ----------
    header : ScanImageHeader
        Header of any ScanImage version from 3.8 on.

    Returns
    -------
    AcquisitionLayout

    Raises
    ------
    HeaderFieldError
        If a needed value is there but makes no sense, for example ``framesPerSlice = garbage``.
    UnsupportedFormatError
        If the text is no ScanImage header.

    Examples
    --------
    >>> text = "SI.hChannels.channelSave = [1 4]\nSI.hRoiManager.scanFrameRate = 30\nSI.hScan2D.logAverageFactor = 2"
    >>> layout = parse_layout(ScanImageHeader.from_text(text, source="a.tif"))
    >>> layout.channel_names, layout.n_planes, layout.frame_rate_hz
    (('Channel 1', 'Channel 4'), 1, 15.0)
    """
    parser = _PARSERS.get(header.generation)
    if parser is None:
        raise UnsupportedFormatError(
            f"{header.source}: no ScanImage header; expected lines such as 'SI.VERSION_MAJOR = 2021' but found "
            f"{header.text[:40]!r}. Files re-saved by other software may have lost it"
        )
    return parser(header)


def _parse_si(header: ScanImageHeader) -> AcquisitionLayout:
    """Return the layout for ScanImage 2015 and later."""
    fields = _Fields(header, "SI.")
    numbers = _channel_numbers(fields, "hChannels.channelSave", "hChannels.channelsActive")
    averaging = fields.count("hScan2D.logAverageFactor", minimum=1, needed=False) or 1
    volume, enabled = _si_volume(fields)
    frame_rate = fields.positive("hRoiManager.scanFrameRate")
    return _layout(
        fields,
        volume,
        averaging=averaging,
        channel_names=_channel_names(header.get("SI.hChannels.channelName", []), numbers),
        channel_numbers=numbers,
        stack_enabled=enabled,
        frame_rate_hz=None if frame_rate is None else frame_rate / averaging,
        volume_rate_hz=fields.positive("hRoiManager.scanVolumeRate"),
        z_um=_plane_depths(header, volume.n_planes),
        line_period_s=fields.positive("hRoiManager.linePeriod"),
    )


def _parse_si4(header: ScanImageHeader) -> AcquisitionLayout:
    """Return the layout for ScanImage 4.x and 5.0."""
    fields = _Fields(header, f"scanimage.{header.generation}.")
    numbers = _channel_numbers(fields, "channelsSave", "channelsActive")
    averaging = fields.count("acqNumAveragedFrames", minimum=1) or 1
    fast = fields.flag("fastZEnable") or False
    n_planes = fields.count("stackNumSlices", minimum=1) or 1
    volume = _Volume()
    if n_planes > 1 and fast:
        discard = fields.flag("fastZDiscardFlybackFrames") or False
        volume = _Volume(n_planes, 1, (fields.count("fastZNumDiscardFrames") or 0) if discard else 0)
    elif n_planes > 1:
        volume = _Volume(n_planes, fields.finite_count("acqNumFrames") or 1, slow=True)
    period = fields.positive("scanFramePeriod")
    return _layout(
        fields,
        volume,
        averaging=averaging,
        channel_names=_channel_names([], numbers),
        channel_numbers=numbers,
        stack_enabled=fast or n_planes > 1,
        frame_rate_hz=None if period is None else 1 / period / averaging,
    )


def _parse_38(header: ScanImageHeader) -> AcquisitionLayout:
    """Return the layout for ScanImage 3.8, whose stacks are all slow."""
    fields = _Fields(header, "state.acq.")
    numbers = tuple(n for n in (1, 2, 3, 4) if fields.flag(f"savingChannel{n}", needed=n == 1))
    averaging = fields.count("numAvgFramesSave", minimum=1) or 1
    n_planes = fields.count("numberOfZSlices", minimum=1) or 1
    frame_rate = fields.positive("frameRate")
    ms_per_line = fields.positive("msPerLine")
    volume = _Volume()
    if n_planes > 1:
        volume = _Volume(n_planes, fields.finite_count("numberOfFrames") or 1, slow=True)
    return _layout(
        fields,
        volume,
        averaging=averaging,
        channel_names=_channel_names([], numbers),
        channel_numbers=numbers,
        stack_enabled=n_planes > 1,
        frame_rate_hz=None if frame_rate is None else frame_rate / averaging,
        line_period_s=None if ms_per_line is None else ms_per_line / 1000,
    )


_PARSERS: Final[dict[str, Callable[[ScanImageHeader], AcquisitionLayout]]] = {
    "SI": _parse_si,
    "SI5": _parse_si4,
    "SI4": _parse_si4,
    "3.8": _parse_38,
}


def _layout(fields: _Fields, volume: _Volume, *, averaging: int, **claims: Any) -> AcquisitionLayout:
    """Return the layout with the counts of `volume` turned from frames into pages."""
    planar = volume.n_planes == 1 and volume.n_flyback == 0
    unknown = {"volume_rate_hz": None, "z_um": (), "line_period_s": None}
    return AcquisitionLayout(
        n_planes=volume.n_planes,
        frames_per_slice=1 if planar else max(1, volume.frames_per_slice // averaging),
        n_flyback=volume.n_flyback // averaging,
        disputed_flyback=volume.disputed_flyback // averaging,
        averaging=averaging,
        slow_stack=volume.slow,
        planes_separable=planar or (volume.frames_per_slice % averaging == 0 and volume.n_flyback % averaging == 0),
        missing_keys=tuple(fields.missing),
        **(unknown | claims),
    )


def _si_volume(fields: _Fields) -> tuple[_Volume, bool]:
    """Return the volume, and whether the stack manager was on."""
    enabled = fields.flag("hStackManager.enable")
    if enabled is False:
        return _Volume(), False
    fast_z = fields.flag("hFastZ.enable", needed=enabled is None)
    n_planes = _si_planes(fields, needed=enabled is not None)
    stack_enabled = bool(enabled or fast_z or n_planes > 1)
    mode = fields.header.get("SI.hStackManager.stackMode")
    slow = not fast_z if mode is None else mode == "slow"
    n_flyback = _si_flyback(fields) if stack_enabled and not slow and (fast_z or n_planes > 1) else 0
    n_disputed, n_flyback = (n_flyback, 0) if fast_z is False else (0, n_flyback)
    frames = 1 if enabled is None and fast_z else _si_frames_per_slice(fields, n_planes)
    # one plane may have flyback too, but only a header that agrees with itself on the frames between is believed
    if n_planes == 1 and not (n_flyback and frames == fields.count("hStackManager.numFramesPerVolume")):
        return _Volume(), stack_enabled
    return _Volume(n_planes, frames, n_flyback, n_disputed, slow), stack_enabled


def _si_planes(fields: _Fields, *, needed: bool) -> int:
    """Return the planes of an enabled stack; `numSlices` alone is wrong for arbitrary z."""
    actual = fields.count("hStackManager.actualNumSlices", needed=needed)
    if actual:
        return actual
    per_volume = fields.finite_count("hStackManager.numFramesPerVolume", needed=False)
    per_slice = fields.finite_count("hStackManager.framesPerSlice", needed=False)
    if per_volume and per_slice and per_volume >= per_slice:
        return per_volume // per_slice
    return (
        len(set(fields.header.numbers("SI.hStackManager.zs")))
        or fields.count("hStackManager.numSlices", needed=needed)
        or fields.count("hStackManager.slicesPerAcq", needed=False)
        or 1
    )


def _si_frames_per_slice(fields: _Fields, n_planes: int) -> int:
    """Return the frames acquired of each slice; ``Inf`` and missing values are made up for from the volume."""
    per_slice = fields.finite_count("hStackManager.framesPerSlice")
    if per_slice is not None:
        return per_slice
    return max(1, (fields.finite_count("hStackManager.numFramesPerVolume") or 0) // n_planes)


def _si_flyback(fields: _Fields) -> int:
    """Return the flyback frames of one volume."""
    name = "hStackManager.numFramesPerVolumeWithFlyback"
    per_volume, with_flyback = fields.count("hStackManager.numFramesPerVolume"), fields.count(name)
    if per_volume is not None and with_flyback is not None:
        if with_flyback < per_volume:
            raise fields.header.error(fields.prefix + name, f"at least numFramesPerVolume = {per_volume}")
        return with_flyback - per_volume
    if fields.flag("hFastZ.enable") and fields.flag("hFastZ.discardFlybackFrames"):
        return fields.count("hFastZ.numDiscardFlybackFrames") or 0
    return 0


def _channel_numbers(fields: _Fields, saved: str, active: str) -> tuple[int, ...]:
    """Return the vendor's numbers of the saved channels, else of the active ones."""
    key = fields.key(saved)
    numbers = fields.header.numbers(key)
    if not numbers:
        key = fields.key(active)
        numbers = fields.header.numbers(key)
    if any(number < 1 or not float(number).is_integer() for number in numbers):
        raise fields.header.error(key, "channel numbers from 1")
    return tuple(int(number) for number in numbers)


def _channel_names(available: Any, numbers: tuple[int, ...]) -> tuple[str, ...]:
    """Return the names of channels; "Channel N" for those that the list of available ones does not name."""
    names = as_list(available)
    return tuple(str(names[n - 1]) if n <= len(names) and names[n - 1] else f"Channel {n}" for n in numbers)


def _plane_depths(header: ScanImageHeader, n_planes: int) -> tuple[float, ...]:
    """Return one z per plane from lists that hold one per plane or one per frame; empty if none fits.

    With several actuators the lists are matrices, one row per frame; the first column is z.
    """
    names = ["zs", "zsAllActuators"]
    if header.get("SI.hStackManager.stackDefinition", "arbitrary") == "arbitrary":
        names.append("arbitraryZs")
    for name in names:
        depths = header.numbers(f"SI.hStackManager.{name}")
        frames, rest = divmod(len(depths), n_planes)
        if not depths or rest:
            continue
        planes = [depths[start : start + frames] for start in range(0, len(depths), frames)]
        if all(len(set(plane)) == 1 and math.isfinite(plane[0]) for plane in planes):
            return tuple(float(plane[0]) for plane in planes)
    return ()
