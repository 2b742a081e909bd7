"""What lies in a folder that a session file can name: recordings, motion, pulses, segmentations."""

import csv
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scanimage_nwb.errors import FormatError, TimeAxisError
from scanimage_nwb.inspection import describe_recording, format_description
from scanimage_nwb.nwb.metadata import device_key
from scanimage_nwb.nwb.pulse_sources import read_pulse_times
from scanimage_nwb.nwb.session.finding import names_of_recordings
from scanimage_nwb.nwb.session.products import FoundProduct, find_masks, find_shifts
from scanimage_nwb.recording import FiresPer, Recording, align_to_pulses, open_recording
from scanimage_nwb.session_folder import find_recordings, refuse_nothing

__all__ = ["FoundPulses", "FoundRecording", "Look", "look_at"]

_PULSE_SUFFIXES = {".csv", ".tsv", ".npy"}
_FEWEST_PULSES = 5
_FIRES_PER: tuple[FiresPer, ...] = ("frame", "volume", "plane", "page")


@dataclass(frozen=True, slots=True)
class FoundRecording:
    """A recording of the folder."""

    name: str
    recording: Recording
    facts: str
    """What its files say, in lines for people."""

    @property
    def is_siff(self) -> bool:
        """Whether it holds photons."""
        return self.recording.is_siff

    @property
    def device_key(self) -> str:
        """Key of its microscope in the metadata."""
        return device_key(self.recording)


@dataclass(frozen=True, slots=True)
class FoundPulses:
    """Times that may be sync pulses."""

    path: Path
    column: str | None
    n_pulses: int
    recording: str | None
    """Recording that they fit; None if they fit none, or not in one way only."""
    fires_per: str | None
    report: str


@dataclass(frozen=True, slots=True)
class Look:
    """What was found in a folder."""

    folder: Path
    recordings: tuple[FoundRecording, ...]
    left_out: tuple[tuple[Path, str], ...]
    """TIFF and .siff files that belong to no recording, each with the reason."""
    shifts: tuple[FoundProduct, ...]
    masks: tuple[FoundProduct, ...]
    pulses: tuple[FoundPulses, ...]


def look_at(folder: Path) -> Look:
    """Look at a folder.

    Parameters
    ----------
    folder : Path
        Folders in it are looked into for output of suite2p only.

    Returns
    -------
    Look

    Raises
    ------
    FileNotFoundError
        If it holds no recording.
    """
    series, left_out = find_recordings(folder)
    refuse_nothing(folder, series, left_out)
    recordings = []
    for name, files in zip(names_of_recordings(series), series, strict=True):
        recording = open_recording(files[0], warn=False)
        recordings.append(FoundRecording(name, recording, format_description(describe_recording(recording))))
    masks = tuple(find_masks(folder, recordings, [path for path, _ in left_out]))
    others = {path for path, _ in left_out}
    taken = {one.path for one in masks if one.recording is not None or one.path in others}
    return Look(
        folder,
        tuple(recordings),
        tuple((path, reason) for path, reason in left_out if path not in taken),
        tuple(find_shifts(folder, recordings)),
        masks,
        tuple(_pulses(folder, recordings, taken)),
    )


def _pulses(folder: Path, recordings: list[FoundRecording], but_not: Collection[Path]) -> Iterator[FoundPulses]:
    """Yield the trains of increasing times, and which recording each fits."""
    for path in sorted(one for one in folder.iterdir() if one.suffix.lower() in _PULSE_SUFFIXES and one.is_file()):
        if path in but_not:
            continue
        for column in _columns(path):
            try:
                times = read_pulse_times(path, column)
            except (TimeAxisError, OSError, UnicodeDecodeError):
                continue
            if len(times) >= _FEWEST_PULSES and np.isfinite(times).all() and (np.diff(times) > 0).all():
                yield _fit(path, column, times, recordings)


def _columns(path: Path) -> list[str | None]:
    """Return the columns of a table to try; None for the only one."""
    if path.suffix.lower() == ".npy":
        return [None]
    with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
        head = file.readline()
    cells = next(csv.reader([head], delimiter="\t" if "\t" in head else ";" if ";" in head else ","), [])
    return [None] if len(cells) < 2 else [cell.strip() for cell in cells]


def _fit(path: Path, column: str | None, times: np.ndarray, recordings: list[FoundRecording]) -> FoundPulses:
    """Say which recording a train fits, and what fires its pulses."""
    fits = []
    for found in recordings:
        for fires_per in _FIRES_PER:
            try:
                report = align_to_pulses(found.recording, times, fires_per).report
            except (TimeAxisError, FormatError):
                continue
            fits.append((report.n_matched / report.n_events, found.name, fires_per, str(report)))
    sure = {(name, fires_per) for share, name, fires_per, _ in fits if share == max(fits)[0]}
    if not fits or len({name for name, _ in sure}) > 1:
        return FoundPulses(path, column, len(times), None, None, "they fit several recordings" if fits else "")
    _, name, fires_per, text = max(fits, key=lambda fit: (fit[0], -_FIRES_PER.index(fit[2])))
    return FoundPulses(path, column, len(times), name, fires_per, text.partition(";")[0])
