"""Which files beside a given one belong to the same acquisition.

ScanImage numbers files `base_00001.tif` (one file an acquisition; the acquisitions of a loop) or
`base_00001_00001.tif` (acquisition, file). A name alone does not decide: files belong together if they also share
the start of their clock and their frame numbers run on. A renamed file is a recording of its own.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

from scanimage_nwb.errors import FormatError
from scanimage_nwb.formats.scanimage_page_text import epoch_to_datetime, parse_page_text
from scanimage_nwb.formats.scanimage_tiff import read_page_text
from scanimage_nwb.formats.tiff_pages import PageTable, read_page_table

__all__ = ["FileSeries", "file_epoch", "find_file_series", "is_same_start"]

_START_TOLERANCE = timedelta(seconds=1)
"""Starts computed from the drifting clock of a .siff are one and the same within this."""
_ONE_NUMBER = re.compile(r"(?P<base>.*_)(?P<last>\d+)")
_TWO_NUMBERS = re.compile(r"(?P<base>.*_)(?P<first>\d+)_(?P<last>\d+)")


@dataclass(frozen=True, slots=True)
class FileSeries:
    """The files of one acquisition, in the order of time."""

    paths: tuple[Path, ...]
    """Files that belong together."""
    missing_names: tuple[str, ...]
    """Names that the numbering skips between the first file and the last."""
    unreadable: tuple[tuple[Path, str], ...]
    """Files that by their name belong here but hold no whole page, each with the reason."""


@dataclass(frozen=True, slots=True)
class _FirstPage:
    """What the first page of a file says of its place in time."""

    path: Path
    numbers: tuple[int, int]
    frame_number: int
    epoch: datetime | None


def find_file_series(path: Path) -> FileSeries:
    """Find the files that continue the acquisition of `path`, before and behind it.

    Parameters
    ----------
    path : Path
        Any file of the acquisition.

    Returns
    -------
    FileSeries

    Raises
    ------
    FormatError, FileNotFoundError
        If `path` itself cannot be read.
    """
    here = _first_page(path, _numbers(path))
    candidates = _candidates(path)
    rank = [candidate for candidate, _ in candidates].index(path)
    later, broken_later = _follow(here, candidates[rank + 1 :], forward=True)
    earlier, broken_earlier = _follow(here, candidates[:rank][::-1], forward=False)
    pages = [*earlier[::-1], here, *later]
    return FileSeries(
        tuple(page.path for page in pages), _missing_names(pages), tuple(broken_earlier[::-1] + broken_later)
    )


def file_epoch(table: PageTable) -> datetime | None:
    """Return the start of the clock that the first page of a file names.

    Parameters
    ----------
    table : PageTable
        Pages of the file.

    Returns
    -------
    datetime or None
        Of a TIFF without time zone, as ScanImage writes it; of a .siff in UTC, to the microsecond. None if the page
        does not say.
    """
    try:
        page = parse_page_text(read_page_text(table, 0), source=f"{table.path}, page 0")
        if page.epoch is not None:
            return epoch_to_datetime(page.epoch)
        if page.epoch_ns is None or not 0 < page.epoch_ns < 1 << 63 or page.timestamp_s is None:
            return None
        start_us = page.epoch_ns / 1000 - page.timestamp_s * 1e6
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=round(start_us))
    except (ValueError, OverflowError):  # a FormatError is a ValueError; so is what a time of NaN raises
        return None


def is_same_start(first: datetime | None, second: datetime | None) -> bool:
    """Tell whether two files name the same start of the clock.

    Parameters
    ----------
    first, second : datetime or None
        From `file_epoch`.

    Returns
    -------
    bool
        Starts of .siff files, which are computed, may differ by a second.
    """
    if first is None or second is None or first.tzinfo is None or second.tzinfo is None:
        return first == second
    return abs(second - first) < _START_TOLERANCE


def _numbers(path: Path) -> tuple[int, int]:
    """Return acquisition and file number of a name; -1 for what it lacks."""
    two, one = _TWO_NUMBERS.fullmatch(path.stem), _ONE_NUMBER.fullmatch(path.stem)
    if two:
        return int(two["first"]), int(two["last"])
    return (int(one["last"]), -1) if one else (-1, -1)


def _candidates(path: Path) -> list[tuple[Path, tuple[int, int]]]:
    """Return the files beside `path` whose names differ from its own in their numbers only, in their order."""
    found = {path: _numbers(path)}
    for pattern in (_TWO_NUMBERS, _ONE_NUMBER):
        own = pattern.fullmatch(path.stem)
        if own is None:
            continue
        for other in path.parent.iterdir():
            match = pattern.fullmatch(other.stem)
            if match and match["base"] == own["base"] and other.suffix.lower() == path.suffix.lower():
                found[other] = _numbers(other)
    return sorted(found.items(), key=lambda item: item[1])


def _first_page(path: Path, numbers: tuple[int, int]) -> _FirstPage:
    """Read the first page of a file."""
    table = read_page_table(path, max_pages=1)
    return _FirstPage(path, numbers, int(table.frame_number[0]), file_epoch(table))


def _follow(
    here: _FirstPage, candidates: list[tuple[Path, tuple[int, int]]], *, forward: bool
) -> tuple[list[_FirstPage], list[tuple[Path, str]]]:
    """Take candidates, nearest first, up to the first that does not continue the acquisition.

    Files that cannot be read, or that carry the acquisition's number but not its frame numbers, are stepped over:
    the former count as part of the acquisition if a file behind them is or if they carry its number, the latter
    only if a file behind them is.
    """
    taken: list[_FirstPage] = []
    broken: list[tuple[Path, str]] = []
    pending: list[tuple[Path, str]] = []
    nearest = here
    for path, numbers in candidates:
        same_acquisition = numbers[1] >= 0 and numbers[0] == here.numbers[0]
        try:
            page = _first_page(path, numbers)
        except FormatError as error:
            (broken if same_acquisition else pending).append((path, str(error)))
            continue
        if _continues(nearest, page) if forward else _continues(page, nearest):
            taken.append(page)
            broken, pending = broken + pending, []
            nearest = page
        elif same_acquisition:
            found = f"frame {page.frame_number}, epoch {page.epoch}"
            pending.append((path, f"its first page ({found}) does not continue {nearest.path.name}"))
        else:
            break
    return taken, broken


def _continues(first: _FirstPage, second: _FirstPage) -> bool:
    """Tell whether `second` is a later file of the acquisition of `first`."""
    if first.frame_number < 0 or second.frame_number < 0:
        same_acquisition = first.numbers[1] >= 0 and first.numbers[0] == second.numbers[0]
        return same_acquisition and is_same_start(first.epoch, second.epoch)
    if second.frame_number <= first.frame_number:
        return False
    if is_same_start(first.epoch, second.epoch):
        return True
    last_number = int(read_page_table(first.path).frame_number[-1])
    return second.frame_number == last_number + 1


def _missing_names(pages: list[_FirstPage]) -> tuple[str, ...]:
    """Return the names that the numbering skips within one acquisition number."""
    names = []
    for before, after in pairwise(pages):
        position = 1 if before.numbers[1] >= 0 else 0
        if position == 1 and before.numbers[0] != after.numbers[0]:
            continue
        stem = before.path.stem
        digits = len(stem) - stem.rindex("_") - 1
        for number in range(before.numbers[position] + 1, after.numbers[position]):
            names.append(f"{stem[:-digits]}{number:0{digits}d}{before.path.suffix}")
    return tuple(names)
