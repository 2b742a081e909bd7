"""Files whose reports the tests look at."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pynwb import NWBHDF5IO, NWBFile
from pynwb.file import Subject
from pynwb.ophys import TwoPhotonSeries
from pynwb.testing.mock.ophys import mock_ImagingPlane

from scanimage_nwb.nwb import FlimInterface, convert_recording, load_metadata_file, merge_metadata, write_nwbfile
from scanimage_nwb.testing import write_demo_session

METADATA = """
NWBFile: {session_id: "20250424-1", experimenter: ["Doe, Jane"]}
Subject: {subject_id: m42, species: Mus musculus, sex: F, age: P90D, description: Adult mouse.}
Ophys: {ImagingPlanes: {"*": {location: Primary visual area, indicator: GCaMP8m, excitation_lambda: 920.0}}}
"""


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo session as NWB files: tif.nwb, siff.nwb, and flim.nwb with every photon of one channel."""
    folder = tmp_path_factory.mktemp("demo")
    write_demo_session(folder)
    (folder / "metadata.yaml").write_text(METADATA)
    metadata = load_metadata_file(folder / "metadata.yaml")
    tiff, siff = folder / "demo_00001_00001.tif", folder / "demo_flim_00001.siff"
    convert_recording([tiff], folder / "tif.nwb", metadata=metadata, timezone="UTC")
    convert_recording([siff], folder / "siff.nwb", metadata=metadata)
    interface = FlimInterface(siff, channel_name=FlimInterface.get_available_channels(siff)[0])
    nwbfile = interface.create_nwbfile(
        metadata=merge_metadata(interface.get_metadata(), metadata), photons=True, histograms="field"
    )
    write_nwbfile(nwbfile, folder / "flim.nwb", progress=False)
    return folder


def new_nwbfile(**fields: Any) -> NWBFile:
    """Return an empty file with a subject."""
    subject = Subject(subject_id="m1", species="Mus musculus", sex="F", age="P90D")
    start = datetime(2025, 1, 1, 12, tzinfo=UTC)
    return NWBFile("a session", "id-1", start, **{"subject": subject, **fields})


def add_movie(nwbfile: NWBFile, data: NDArray, **fields: Any) -> NWBFile:
    """Add a movie and its plane to a file in memory."""
    plane = mock_ImagingPlane(nwbfile=nwbfile, name="plane")
    times = {} if "timestamps" in fields else {"rate": 10.0}
    nwbfile.add_acquisition(
        TwoPhotonSeries(name="TwoPhotonSeries", data=data, imaging_plane=plane, unit="n.a.", **times, **fields)
    )
    return nwbfile


def write(path: Path, nwbfile: NWBFile) -> Path:
    """Write a file with pynwb alone."""
    with NWBHDF5IO(path, "w") as io:
        io.write(nwbfile)
    return path


def write_movie(path: Path, data: NDArray, nwbfile: NWBFile | None = None, **fields: Any) -> Path:
    """Write a file that holds one movie."""
    return write(path, add_movie(nwbfile or new_nwbfile(), data, **fields))


def ramp(n_samples: int, width: int = 6, height: int = 4) -> NDArray[np.int16]:
    """Return a movie whose every pixel differs."""
    return np.arange(n_samples * width * height, dtype=np.int16).reshape(n_samples, width, height)
