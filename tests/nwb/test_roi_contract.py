"""neuroconv's own contract suite, on the interface of masks and traces; real suite2p and CaImAn output."""

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from neuroconv.tools.testing.data_interface_mixins import SegmentationExtractorInterfaceTestMixin

from scanimage_nwb.nwb import RoiTracesInterface

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::scanimage_nwb.errors.ScanImageNwbWarning"),
]


class _RoiContract(SegmentationExtractorInterfaceTestMixin):
    data_interface_cls = RoiTracesInterface
    interface_kwargs: ClassVar[dict[str, Any]] = {}
    check_read_nwb_backends = ("hdf5",)
    source: ClassVar[str]
    more: ClassVar[dict[str, Any]] = {}

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def _find_data(cls, data_dir: Path) -> None:
        cls.interface_kwargs = {"file_path": data_dir / cls.source, **cls.more}

    def check_read_nwb(self, nwbfile_path: str) -> None:
        """Read back with roiextractors: masks, every trace, images, times and columns."""
        from roiextractors import NwbSegmentationExtractor

        ours, back = self.interface.segmentation_extractor, NwbSegmentationExtractor(file_path=nwbfile_path)
        assert back.get_roi_ids() == ours.get_roi_ids()
        assert back.get_num_samples() == ours.get_num_samples()
        assert back.get_sampling_frequency() == ours.get_sampling_frequency()
        np.testing.assert_array_equal(back.get_roi_image_masks(), ours.get_roi_image_masks())
        for own, expected in zip(back.get_roi_pixel_masks(), ours.get_roi_pixel_masks(), strict=True):
            np.testing.assert_array_equal(own, expected)
        np.testing.assert_allclose(back.get_timestamps(), self.interface.get_timestamps())
        assert back.get_images_dict().keys() == ours.get_images_dict().keys()
        for name, image in ours.get_images_dict().items():
            np.testing.assert_array_equal(back.get_images_dict()[name], image)
        kinds = [kind for kind in self.interface.segmentation.traces if "channel2" not in kind]
        assert len(kinds) >= 3
        for kind in kinds:
            np.testing.assert_array_equal(back.get_traces(name=kind), ours.get_traces(name=kind))
        np.testing.assert_allclose(
            back.get_property("roi_centroids", ours.get_roi_ids()), self.interface.segmentation.rois.centroid[:, 1:]
        )
        if "accepted" in ours.get_property_keys():
            accepted = ours.get_property("accepted", ours.get_roi_ids())
            np.testing.assert_array_equal(back.get_property("accepted", ours.get_roi_ids()), accepted)
            np.testing.assert_array_equal(back.get_property("rejected", ours.get_roi_ids()), ~accepted)


class TestSuite2pPlane(_RoiContract):
    source = "suite2p/plane1"


class TestSuite2pChosenPlane(_RoiContract):
    source, more = "suite2p", {"plane_index": 0}


class TestCaiman(_RoiContract):
    source = "caiman/caiman_analysis.hdf5"
