"""Reading NWB files back the way anybody would: plain pynwb, in a process that knows nothing of this package."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from scanimage_nwb.testing import SyntheticRecording

PLAIN_READER = """
import json, sys
import numpy as np
from pynwb import TimeSeries, read_nwb
from pynwb.ophys import TwoPhotonSeries

def plain(value):
    return value if value is None or isinstance(value, (str, int)) else np.asarray(value).tolist()

def describe(path, arrays):
    nwbfile = read_nwb(path)
    ophys = nwbfile.processing["ophys"]
    items = {**nwbfile.acquisition, **ophys.data_interfaces}
    facts = {"start": nwbfile.session_start_time.isoformat(), "series": {}, "planes": {}, "tables": {}}
    facts["subject"] = nwbfile.subject and nwbfile.subject.fields
    facts["devices"] = {name: device.description for name, device in nwbfile.devices.items()}
    for name, item in items.items():
        if not isinstance(item, TimeSeries):
            facts["tables"][name] = {c: item[c].data[:].tolist() for c in item.colnames}
            continue
        arrays[path + "|" + name] = item.data[:]
        if item.timestamps is not None:
            arrays[path + "|" + name + "|timestamps"] = np.asarray(item.timestamps)
        facts["series"][name] = {"rate": item.rate, "starting_time": item.starting_time, "unit": item.unit}
        facts["series"][name]["description"] = item.description
        if isinstance(item, TwoPhotonSeries):
            names = ("dimension", "field_of_view", "pmt_gain", "scan_line_rate")
            facts["series"][name] |= {key: plain(getattr(item, key)) for key in names}
            facts["series"][name]["plane"] = item.imaging_plane.name
    for name, plane in nwbfile.imaging_planes.items():
        names = ("grid_spacing", "grid_spacing_unit", "origin_coords", "origin_coords_unit", "imaging_rate",
                 "description", "location", "indicator", "excitation_lambda")
        facts["planes"][name] = {key: plain(getattr(plane, key)) for key in names}
        facts["planes"][name]["device"] = plane.device.name
        facts["planes"][name]["optical_channels"] = [channel.name for channel in plane.optical_channel]
    nwbfile.read_io.close()
    return facts

*paths, out = sys.argv[1:]
arrays = {}
facts = {path: describe(path, arrays) for path in paths}
assert not [name for name in sys.modules if name.startswith("scanimage_nwb")], "this reader must not know us"
np.savez(out, **arrays)
print(json.dumps(facts, default=str))
"""


@dataclass(frozen=True)
class PlainFile:
    """What plain pynwb found in a file."""

    facts: dict[str, Any]
    arrays: dict[str, NDArray] = field(repr=False)
    """Data by the name of the series; its timestamps by ``"NAME|timestamps"``."""


def read_with_plain_pynwb(paths: Iterable[Path], scratch: Path) -> dict[Path, PlainFile]:
    """Read files in one process that has not imported this package."""
    paths = list(paths)
    out = scratch / "arrays.npz"
    result = subprocess.run(
        [sys.executable, "-c", PLAIN_READER, *map(str, paths), str(out)], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    facts = json.loads(result.stdout)
    with np.load(out) as arrays:
        found = {name: arrays[name] for name in arrays.files}
    own = {
        path: {key.partition("|")[2]: array for key, array in found.items() if key.partition("|")[0] == str(path)}
        for path in paths
    }
    return {path: PlainFile(facts[str(path)], own[path]) for path in paths}


@pytest.fixture
def read_plainly(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], PlainFile]:
    """Read one file with plain pynwb."""

    def read(path: Path) -> PlainFile:
        return read_with_plain_pynwb([path], tmp_path_factory.mktemp("read"))[path]

    return read


def true_pages(written: SyntheticRecording, channel: int = 0, slice_sample: int | None = 0) -> NDArray[np.int64]:
    """Return the page of every sample and plane of a channel, shape (samples, planes); whole volumes only."""
    n_planes, n_slice = int(written.plane.max()) + 1, int(written.slice_sample.max()) + 1
    samples = []
    for volume in np.unique(written.volume):
        of_volume = (written.volume == volume) & (written.channel == channel) & (written.plane >= 0)
        pages = np.flatnonzero(of_volume)
        if len(pages) < n_planes * n_slice:
            continue
        for wanted in range(n_slice) if slice_sample is None else [slice_sample]:
            samples.append(pages[written.slice_sample[pages] == wanted])
    return np.array(samples)


def true_pixels(written: SyntheticRecording, pages: NDArray[np.int64]) -> NDArray[np.int16]:
    """Return pixels in the order of NWB: (time, width, height[, depth])."""
    pixels = written.pages[pages].transpose(0, 3, 2, 1)  # pages are (time, depth, height, width)
    return pixels[..., 0] if pages.shape[1] == 1 else pixels
