"""What lies in a folder that a session file can name: recordings, motion, pulses, segmentations."""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from scanimage_nwb.errors import FormatError, TimeAxisError
from scanimage_nwb.inspection import describe_recording, format_description
from scanimage_nwb.nwb.metadata import device_key
from scanimage_nwb.nwb.pulse_sources import read_pulse_times
from scanimage_nwb.nwb.session.finding import names_of_recordings
from scanimage_nwb.recording import FiresPer, Recording, align_to_pulses, open_recording
from scanimage_nwb.registration.info import FORMAT_NAME
from scanimage_nwb.session_folder import find_recordings, refuse_nothing

__all__ = ["FoundFile", "FoundPulses", "FoundRecording", "Look", "look_at"]

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
class FoundFile:
    """A file or folder beside the recordings."""

    path: Path
    what: str


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
    shifts: tuple[FoundFile, ...]
    regions: tuple[FoundFile, ...]
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
    shifts, regions = _products(folder)
    return Look(
        folder, tuple(recordings), tuple(left_out), tuple(shifts), tuple(regions), tuple(_pulses(folder, recordings))
    )


def _products(folder: Path) -> tuple[list[FoundFile], list[FoundFile]]:
    """Return files of shifts, and of regions."""
    shifts, regions = [], []
    for path in sorted(folder.iterdir()):
        suffix = path.suffix.lower()
        if path.is_dir() and (any(path.glob("plane*/ops.npy")) or any(path.glob("suite2p/plane*/ops.npy"))):
            shifts.append(FoundFile(path, "shifts of suite2p"))
        if path.is_dir() and (any(path.glob("plane*/stat.npy")) or any(path.glob("suite2p/plane*/stat.npy"))):
            regions.append(FoundFile(path, "regions of suite2p"))
        elif suffix in {".h5", ".hdf5"}:
            shifts += [FoundFile(path, "shifts of scanimage-nwb register")] if _is_registration(path) else []
            regions += [FoundFile(path, "CaImAn")] if _is_caiman(path) else []
        elif suffix == ".roi" or (suffix == ".zip" and re.search("roi", path.name, re.IGNORECASE)):
            regions.append(FoundFile(path, "regions of ImageJ"))
        elif suffix in {".npy", ".npz"} and re.search("mask", path.name, re.IGNORECASE):
            regions.append(FoundFile(path, "masks"))
    return shifts, regions


def _is_registration(path: Path) -> bool:
    """Tell whether `scanimage-nwb register` wrote a file."""
    return h5py.is_hdf5(path) and _has(path, lambda file: file.attrs.get("format") == FORMAT_NAME)


def _is_caiman(path: Path) -> bool:
    """Tell whether CaImAn wrote a file."""
    return h5py.is_hdf5(path) and _has(path, lambda file: "estimates" in file)


def _has(path: Path, test: object) -> bool:
    try:
        with h5py.File(path, "r") as file:
            return bool(test(file))  # type: ignore[operator]
    except OSError:
        return False


def _pulses(folder: Path, recordings: list[FoundRecording]) -> Iterator[FoundPulses]:
    """Yield the trains of increasing times, and which recording each fits."""
    for path in sorted(one for one in folder.iterdir() if one.suffix.lower() in _PULSE_SUFFIXES and one.is_file()):
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
    return FoundPulses(path, column, len(times), name, fires_per, text.partition("\n")[0])
