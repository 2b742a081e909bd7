"""neuroconv's own contract suite, on our interfaces; that of masks and traces is in test_roi_contract."""

import warnings
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pynwb
import pytest
from neuroconv.tools.testing.data_interface_mixins import (
    DataInterfaceTestMixin,
    ImagingExtractorInterfaceTestMixin,
    TemporalAlignmentMixin,
)
from neuroconv.utils import DeepDict

from scanimage_nwb.nwb import (
    FlimInterface,
    RecordedEventsInterface,
    RegistrationInterface,
    ScanImageImagingInterface,
    SiffImagingInterface,
)
from scanimage_nwb.registration import RegistrationInfo
from scanimage_nwb.testing import write_scanimage_recording
from scanimage_nwb.testing.siff_files import write_siff_recording

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


class _ScanImageContract(ImagingExtractorInterfaceTestMixin):
    data_interface_cls = ScanImageImagingInterface
    interface_kwargs: ClassVar[dict[str, Any]] = {}

    @pytest.fixture(autouse=True)
    def _keep_files_in_tmp(self, tmp_path: Path) -> None:
        type(self).save_directory = tmp_path

    def check_extracted_metadata(self, metadata: dict[str, Any]) -> None:
        names = {entry["name"] for entry in metadata["Ophys"]["MicroscopySeries"].values()}
        assert names == {self.optical_series_name}


class TestPlanar(_ScanImageContract):
    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def _record(cls, tmp_path_factory: pytest.TempPathFactory) -> None:
        written = write_scanimage_recording(tmp_path_factory.mktemp("planar"), n_volumes=12)
        cls.interface_kwargs = {"file_path": written.paths[0], "timezone": "UTC"}


class TestVolumesOfTheSecondChannel(_ScanImageContract):
    optical_series_name = "TwoPhotonSeriesChannel3"

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def _record(cls, tmp_path_factory: pytest.TempPathFactory) -> None:
        written = write_scanimage_recording(
            tmp_path_factory.mktemp("volumes"), channel_save=(1, 3), n_planes=3, n_flyback=1, pages_per_file=30
        )
        cls.interface_kwargs = {"file_path": written.paths[0], "channel_name": "Channel 3", "timezone": "UTC"}


class TestOnePlaneOfASlowStack(_ScanImageContract):
    optical_series_name = "TwoPhotonSeriesPlane1"

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def _record(cls, tmp_path_factory: pytest.TempPathFactory) -> None:
        written = write_scanimage_recording(
            tmp_path_factory.mktemp("slow"), n_planes=2, frames_per_slice=2, stack_mode="slow"
        )
        cls.interface_kwargs = {
            "file_path": written.paths[0],
            "plane_index": 1,
            "interleave_slice_samples": True,
            "timezone": "UTC",
        }


class TestRealVolumes(_ScanImageContract):
    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def _record(cls, data_dir: Path) -> None:
        cls.interface_kwargs = {
            "file_path": data_dir / "scanimage" / "vol_one_ch_multi_files_00001_00001.tif",
            "timezone": "America/New_York",
        }


class TestRealSlowStack(_ScanImageContract):
    optical_series_name = "TwoPhotonSeriesChannel4"

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def _record(cls, data_dir: Path) -> None:
        cls.interface_kwargs = {
            "file_path": data_dir / "scanimage" / "scanimage_20220923_noroi.tif",
            "channel_name": "Channel 4",
            "slice_sample": 0,
            "timezone": "America/New_York",
        }


class TestPhotonCounts(_ScanImageContract):
    data_interface_cls = SiffImagingInterface
    optical_series_name = "TwoPhotonSeriesChannel2"

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def _record(cls, tmp_path_factory: pytest.TempPathFactory) -> None:
        written = write_siff_recording(
            tmp_path_factory.mktemp("counts"), channel_save=(1, 2), n_planes=2, n_flyback=1, n_volumes=8, shape=(6, 4)
        )
        cls.interface_kwargs = {"file_path": written.path, "channel_name": "Channel 2"}


class _Contract(DataInterfaceTestMixin, TemporalAlignmentMixin):
    """Of interfaces whose data are no imaging series."""

    interface_kwargs: ClassVar[dict[str, Any]] = {}

    @pytest.fixture(autouse=True)
    def _keep_files_in_tmp(self, tmp_path: Path) -> None:
        type(self).save_directory = tmp_path

    def check_read_nwb(self, nwbfile_path: str) -> None:
        nwbfile = pynwb.read_nwb(nwbfile_path)
        self.check_content(nwbfile)
        nwbfile.read_io.close()

    def check_content(self, nwbfile: pynwb.NWBFile) -> None:
        raise NotImplementedError


class TestLifetimes(_Contract):
    data_interface_cls = FlimInterface

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def _record(cls, tmp_path_factory: pytest.TempPathFactory) -> None:
        written = write_siff_recording(tmp_path_factory.mktemp("flim"), n_volumes=8, shape=(6, 4))
        cls.interface_kwargs = {"file_path": written.path}

    def check_content(self, nwbfile: pynwb.NWBFile) -> None:
        times = nwbfile.acquisition["PhotonEventSeries"].get_timestamps()
        np.testing.assert_allclose(times, self.interface.get_timestamps(), rtol=0, atol=1e-6)


class TestEvents(_Contract):
    data_interface_cls = RecordedEventsInterface

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def _record(cls, tmp_path_factory: pytest.TempPathFactory) -> None:
        written = write_scanimage_recording(
            tmp_path_factory.mktemp("events"), n_volumes=12, aux_triggers={3: [0.05], 7: [0.15, 0.16]}
        )
        cls.interface_kwargs = {"file_path": written.paths[0], "timezone": "UTC"}

    def check_content(self, nwbfile: pynwb.NWBFile) -> None:
        assert nwbfile.events["ScanImageAuxTrigger0"]["timestamp"].data[:].tolist() == [0.05, 0.15, 0.16]


class _RegistrationBesideItsRecording(RegistrationInterface):
    """Shifts are written beside a series: the contract writes each interface alone."""

    def get_metadata(self) -> DeepDict:
        return self._imaging.get_metadata()

    @property
    def _imaging(self) -> ScanImageImagingInterface:
        return ScanImageImagingInterface.from_recording(self.recording, timezone="UTC")

    def add_to_nwbfile(self, nwbfile: pynwb.NWBFile, metadata: dict | None = None, **options: Any) -> None:
        self._imaging.add_to_nwbfile(nwbfile, metadata)
        super().add_to_nwbfile(nwbfile, **options)


class TestRegistration(_Contract):
    data_interface_cls = _RegistrationBesideItsRecording

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def _record(cls, tmp_path_factory: pytest.TempPathFactory) -> None:
        folder = tmp_path_factory.mktemp("shifts")
        written = write_scanimage_recording(folder, n_volumes=12)
        info = RegistrationInfo.from_shifts({page: (page % 3, -1) for page in range(12)}, shape=written.pages.shape[1:])
        info.save(folder / "shifts.h5")
        cls.interface_kwargs = {"file_path": folder / "shifts.h5", "recording_path": written.paths[0]}

    def check_content(self, nwbfile: pynwb.NWBFile) -> None:
        shifts = nwbfile.processing["ophys"]["TwoPhotonSeriesMotionShifts"]
        assert shifts.data[:].tolist() == [[page % 3, -1] for page in range(12)]


def test_contract_is_the_one_neuroconv_ships() -> None:
    assert issubclass(_ScanImageContract, DataInterfaceTestMixin)
    assert issubclass(_ScanImageContract, TemporalAlignmentMixin)
    with warnings.catch_warnings():
        assert {name for name in dir(_ScanImageContract) if name.startswith("test_")} >= {
            "test_source_schema_valid",
            "test_metadata",
            "test_no_metadata_mutation",
            "test_all_conversion_checks",
            "test_interface_alignment",
        }
