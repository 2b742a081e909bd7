"""Keep the whole ScanImage header in the NWB file, where plain pynwb reads it."""

from typing import Any

import numpy as np
from neuroconv.tools.nwb_helpers import get_module
from pynwb import NWBFile
from pynwb.base import ProcessingModule
from pynwb.core import DynamicTable, VectorData

from scanimage_nwb.recording import Recording

__all__ = ["add_header"]


def add_header(nwbfile: NWBFile, recording: Recording) -> None:
    """Add header, ROI groups and file names of a recording as tables, once.

    Read back, ``dict(nwbfile.processing["ophys"]["ScanImageHeader"]["setting"].data[:])`` is the header.

    Parameters
    ----------
    nwbfile : NWBFile
        The file in memory. The tables go to ``processing["ophys"]``: ``ScanImageHeader``, whose column ``setting``
        holds pairs of key and value, and ``ScanImageFiles``. Those of a second recording are numbered.
    recording : Recording
        Where they come from.
    """
    module = get_module(nwbfile, name="ophys", description="optical physiology processed data")
    number = _number_for(module, recording)
    if number is None:
        return
    settings = [[key, recording.header.raw(key) or ""] for key in recording.header.keys()]  # noqa: SIM118
    if recording.header.roi_text:
        settings.append(["RoiGroups", recording.header.roi_text])
    module.add(
        _table(
            f"ScanImageHeader{number}",
            f"Header of {recording.paths[0].name}, ScanImage {recording.header.version}, every line unchanged; "
            "RoiGroups is the JSON of its scanfields",
            setting=("Key, and value as ScanImage prints it (MATLAB syntax), shape (n, 2)", settings),
        )
    )
    module.add(
        _table(
            f"ScanImageFiles{number}",
            "Files of the recording, in order; original frame indices run over them",
            file_name=("Name of the file", [path.name for path in recording.paths]),
            n_pages=("Whole pages in the file", [page_table.n_pages for page_table in recording.tables]),
            first_page_text=("Text of the file's first page (ImageDescription)", _first_page_texts(recording)),
        )
    )


def _table(name: str, description: str, **columns: tuple[str, list[Any]]) -> DynamicTable:
    """Make a table of columns given as (description, values)."""
    return DynamicTable(
        name=name,
        description=description,
        columns=[VectorData(name=key, description=text, data=values) for key, (text, values) in columns.items()],
    )


def _first_page_texts(recording: Recording) -> list[str]:
    """Return the text of the first page of every file."""
    n_pages = [page_table.n_pages for page_table in recording.tables]
    return [recording.page_text(int(first)) for first in np.cumsum([0, *n_pages[:-1]])]


def _number_for(module: ProcessingModule, recording: Recording) -> str | None:
    """Return what to append to the names of the tables: nothing for the first recording; None if it is there."""
    names = [path.name for path in recording.paths]
    number = ""
    while (table := module.data_interfaces.get(f"ScanImageFiles{number}")) is not None:
        if list(table["file_name"][:]) == names:
            return None
        number = str(int(number or 1) + 1)
    return number
