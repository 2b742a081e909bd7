"""neuroconv's own contract suite, on our interface."""

import warnings
from pathlib import Path
from typing import Any, ClassVar

import pytest
from neuroconv.tools.testing.data_interface_mixins import (
    DataInterfaceTestMixin,
    ImagingExtractorInterfaceTestMixin,
    TemporalAlignmentMixin,
)

from scanimage_nwb.nwb import ScanImageImagingInterface
from scanimage_nwb.testing import write_scanimage_recording

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
