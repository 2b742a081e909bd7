"""Masks and traces with the interface of roiextractors' SegmentationExtractor."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from roiextractors import SegmentationExtractor
from roiextractors.segmentationextractor import _PropertyInfo, _RoiResponse

from scanimage_nwb.errors import RoiError
from scanimage_nwb.roi_traces import Segmentation, read_segmentations

__all__ = ["RoiTracesExtractor"]


class RoiTracesExtractor(SegmentationExtractor):
    """Masks and traces of one plane or volume, whichever program made them.

    Parameters
    ----------
    file_path : path-like
        See `scanimage_nwb.roi_traces.read_segmentations`.
    plane_index : int, optional
        Plane to take, where a program treated several by themselves.
    shape : tuple of int, optional
        Rows and columns; needed of ImageJ ROIs and polygons.
    sampling_frequency : float, optional
        Rate of samples in Hz, in place of what the program was told.

    Raises
    ------
    FileNotFoundError, FormatError, RoiError
        As for `read_segmentations`.
    RoiError
        Also if there are several planes and none was chosen.

    Examples
    --------
    >>> np.save(folder / "masks.npy", np.array([[1, 1, 0], [0, 0, 2]]))
    >>> extractor = RoiTracesExtractor(folder / "masks.npy", sampling_frequency=10.0)
    >>> extractor.get_roi_ids(), extractor.get_roi_image_masks().shape
    ([1, 2], (2, 3, 2))
    """

    extractor_name = "RoiTracesExtractor"

    def __init__(
        self,
        file_path: str | Path,
        plane_index: int | None = None,
        shape: tuple[int, ...] | None = None,
        sampling_frequency: float | None = None,
    ) -> None:
        found = read_segmentations(file_path, shape=shape)
        if plane_index is not None:
            planes = [own.plane for own in found]
            found = tuple(own for own in found if own.plane in (plane_index, None))
            if not found:
                raise RoiError(f"{file_path} has no plane {plane_index}; it has {planes}")
        if len(found) > 1:
            raise RoiError(
                f"{file_path} holds planes {[own.plane for own in found]}, each by itself; choose one with plane_index"
            )
        self._set_up(found[0], sampling_frequency)

    @classmethod
    def from_segmentation(
        cls, segmentation: Segmentation, *, sampling_frequency: float | None = None
    ) -> "RoiTracesExtractor":
        """Make an extractor of masks and traces that are in memory.

        Parameters
        ----------
        segmentation : Segmentation
            Masks and traces.
        sampling_frequency : float, optional
            Rate of samples in Hz.

        Returns
        -------
        RoiTracesExtractor
        """
        extractor = cls.__new__(cls)
        extractor._set_up(segmentation, sampling_frequency)
        return extractor

    def _set_up(self, segmentation: Segmentation, sampling_frequency: float | None) -> None:
        super().__init__()
        segmentation.check()
        self.segmentation = segmentation
        """Masks and traces."""
        ids = segmentation.rois.ids
        self._roi_ids = list(ids) if all(isinstance(own, int) for own in ids) else list(range(len(ids)))
        self._sampling_frequency = sampling_frequency or segmentation.sampling_rate_hz
        self._num_planes = segmentation.rois.shape[0]
        for kind, trace in segmentation.traces.items():
            self._roi_responses.append(_RoiResponse(kind, trace, list(self._roi_ids)))
        self._properties = {key: _PropertyInfo(values) for key, values in segmentation.rois.properties.items()}
        if segmentation.rois.shape[0] == 1:
            self._summary_images = {name: image[0] for name, image in segmentation.images.items()}

    def get_num_rois(self) -> int:
        """Return the number of masks."""
        return self.segmentation.rois.n_rois

    def get_num_samples(self) -> int:
        """Return the number of samples; 0 without traces."""
        return self.segmentation.n_samples

    def get_frame_shape(self) -> tuple[int, int]:
        """Return (rows, columns) of a frame."""
        return self.segmentation.rois.shape[1:]

    def get_image_shape(self) -> tuple[int, int]:
        """Return (rows, columns) of a frame."""
        return self.get_frame_shape()

    get_image_size = get_image_shape

    def get_native_timestamps(self, start_sample: int | None = None, end_sample: int | None = None) -> None:
        """Return None: programs that segment keep no times."""
        return None

    def get_roi_image_masks(self, roi_ids: list[Any] | None = None) -> NDArray[np.floating]:
        """Return masks as arrays.

        Parameters
        ----------
        roi_ids : list, optional
            Which; by default all.

        Returns
        -------
        ndarray of float, shape (rows, columns, masks)
            Of a volume (rows, columns, planes, masks).
        """
        masks = self._chosen(roi_ids).to_masks()
        masks = masks.astype(np.float32) if masks.dtype == bool else masks
        return masks[:, 0].transpose(1, 2, 0) if self._num_planes == 1 else masks.transpose(2, 3, 1, 0)

    def get_roi_pixel_masks(self, roi_ids: list[Any] | None = None) -> list[NDArray[np.floating]]:
        """Return masks as lists of pixels.

        Parameters
        ----------
        roi_ids : list, optional
            Which; by default all.

        Returns
        -------
        list of ndarray, shape (n, 3)
            Row, column and weight; of a volume row, column, plane and weight.
        """
        rois, found = self._chosen(roi_ids), []
        for rank in range(rois.n_rois):
            pixels, weights = rois.pixels(rank)
            columns = (1, 2) if self._num_planes == 1 else (1, 2, 0)
            found.append(np.column_stack([*(pixels[:, axis] for axis in columns), weights]))
        return found

    def get_background_ids(self) -> list[Any]:
        """Return nothing: background components are not kept."""
        return []

    def _chosen(self, roi_ids: list[Any] | None) -> Any:
        if roi_ids is None:
            return self.segmentation.rois
        missing = [own for own in roi_ids if own not in self._roi_ids]
        if missing:
            raise RoiError(f"there is no mask {missing[0]!r}; expected ids of {self._roi_ids[:5]} …")
        return self.segmentation.rois.select(np.array([self._roi_ids.index(own) for own in roi_ids], np.int64))
