"""Masks, traces and summary images as NWB objects, under the names that downstream readers look for."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from hdmf.common import DynamicTableRegion
from hdmf.data_utils import GenericDataChunkIterator
from neuroconv.tools.nwb_helpers import get_module
from numpy.typing import NDArray
from pynwb import NWBFile
from pynwb.base import Images
from pynwb.core import ElementIdentifiers, VectorData
from pynwb.image import GrayscaleImage
from pynwb.ophys import DfOverF, Fluorescence, ImageSegmentation, ImagingPlane, PlaneSegmentation, RoiResponseSeries

from scanimage_nwb.errors import MetadataError
from scanimage_nwb.roi_traces import RoiSet, Segmentation

__all__ = ["MaskType", "add_images", "add_plane_segmentation", "add_traces"]

MaskType = Literal["image", "pixel", "voxel"]
"""How masks are written: as images (of volumes with their voxels), or as lists of pixels or voxels with weights."""
_CHUNK_BYTES = 2_000_000
_BUFFER_GB = 0.05
_COLUMN_DESCRIPTIONS = {
    "accepted": "Whether the mask was accepted as a cell",
    "cell_probability": "Probability that the mask is a cell, as the program says",
    "is_red": "Whether the mask was taken for a cell of the second channel",
    "red_probability": "Probability that the mask is a cell of the second channel",
    "npix": "Number of pixels",
    "radius": "Radius in pixels, of an ellipse fitted to the mask",
    "aspect_ratio": "Ratio of the axes of an ellipse fitted to the mask",
    "compact": "How compact the mask is: 1 for a disk",
    "footprint": "Spatial extent of the activity that goes along with the mask",
    "skew": "Skewness of the trace less its neuropil",
    "std": "Standard deviation of the trace less its neuropil",
    "snr": "Signal-to-noise ratio of the trace",
    "spatial_correlation": "Correlation of the mask with the frames in which it is active",
}


class _MaskIterator(GenericDataChunkIterator):
    """Gives masks as images, a few at a time, in the order of NWB: (masks, width, height); volumes as seen from above.

    Of a mask that has several voxels behind one another, the largest weight is seen.
    """

    def __init__(self, rois: RoiSet) -> None:
        self._rois = rois
        _, rows, columns = rois.shape
        self._shape = (rois.n_rois, columns, rows)
        itemsize = self._get_dtype().itemsize
        one = int(np.prod(self._shape[1:])) * itemsize
        chunk = (max(1, min(rois.n_rois, _CHUNK_BYTES // one)), *self._shape[1:])
        super().__init__(chunk_shape=chunk, buffer_gb=max(_BUFFER_GB, 2 * int(np.prod(chunk)) * itemsize / 1e9))

    def __len__(self) -> int:
        return self._rois.n_rois

    def _get_data(self, selection: tuple[slice, ...]) -> NDArray:
        first, last, _ = selection[0].indices(self._shape[0])
        seen = np.stack([self._rois.to_masks(rank, rank + 1)[0].max(axis=0).T for rank in range(first, last)])
        return seen[(slice(None), *selection[1:])].astype(self._get_dtype(), copy=False)

    def _get_maxshape(self) -> tuple[int, ...]:
        return self._shape

    def _get_dtype(self) -> np.dtype:
        return np.dtype(np.float32) if self._rois.weights is None else np.dtype(self._rois.weights.dtype)


def add_plane_segmentation(
    nwbfile: NWBFile,
    segmentation: Segmentation,
    imaging_plane: ImagingPlane,
    *,
    name: str,
    description: str,
    mask_type: MaskType = "image",
) -> PlaneSegmentation:
    """Add a table of masks to ``processing/ophys/ImageSegmentation``.

    Masks of a volume are lists of voxels; as images they are added as seen from above, since readers of images
    (roiextractors) know planes only. Further columns: ``ROICentroids`` (column, row[, plane]); ``Accepted`` and
    ``Rejected`` where the program said so; ``roi_name``, ``plane``, ``origin``; and what else is known of each mask.

    Parameters
    ----------
    nwbfile : NWBFile
        The file in memory.
    segmentation : Segmentation
        The masks.
    imaging_plane : ImagingPlane
        Where they were drawn.
    name, description : str
        Of the table.
    mask_type : {'image', 'pixel', 'voxel'}
        How masks are written; see above.

    Returns
    -------
    PlaneSegmentation

    Raises
    ------
    MetadataError
        If the type of masks does not fit, or there is a table of that name.
    """
    rois = segmentation.rois
    if mask_type not in ("image", "pixel", "voxel") or (mask_type == "pixel" and rois.shape[0] > 1):
        raise MetadataError(
            f"mask_type is {mask_type!r}, for masks in {rois.shape[0]} plane(s); expected 'image', 'voxel', or of one "
            "plane 'pixel'"
        )
    module = get_module(nwbfile, name="ophys", description="optical physiology processed data")
    if "ImageSegmentation" not in module.data_interfaces:
        module.add(ImageSegmentation(name="ImageSegmentation"))
    tables = module["ImageSegmentation"]
    if name in tables.plane_segmentations:
        raise MetadataError(f"there is a table {name!r} already; give another name in Ophys.PlaneSegmentations")
    ids = rois.ids if all(isinstance(own, int) for own in rois.ids) else range(rois.n_rois)
    columns = _columns(segmentation)
    lists = mask_type if mask_type != "image" else "voxel" if rois.shape[0] > 1 else None
    if mask_type == "image":
        seen = "Weight of each pixel" + ("; the largest of all planes" if rois.shape[0] > 1 else "")
        columns.insert(0, VectorData(name="image_mask", description=seen, data=_MaskIterator(rois)))
    if lists is None:
        table = PlaneSegmentation(
            name=name,
            description=description,
            imaging_plane=imaging_plane,
            id=ElementIdentifiers(name="id", data=list(ids)),
            columns=columns,
        )
    else:
        table = PlaneSegmentation(name=name, description=description, imaging_plane=imaging_plane)
        for rank, own in enumerate(ids):
            table.add_roi(id=own, **{f"{lists}_mask": _listed(rois, rank, lists)})
        for column in columns:
            table.add_column(name=column.name, description=column.description, data=column.data)
    tables.add_plane_segmentation(table)
    return table


def _listed(rois: RoiSet, rank: int, mask_type: str) -> list[tuple[float, ...]]:
    """Return the pixels (column, row, weight) or voxels (column, row, plane, weight) of a mask."""
    pixels, weights = rois.pixels(rank)
    axes = pixels[:, (2, 1)] if mask_type == "pixel" else pixels[:, (2, 1, 0)]
    return [(*map(int, at), float(weight)) for at, weight in zip(axes, weights, strict=True)]


def _columns(segmentation: Segmentation) -> list[VectorData]:
    """Return what is known of each mask."""
    rois = segmentation.rois
    axes = (2, 1) if rois.shape[0] == 1 else (2, 1, 0)
    found = [("ROICentroids", "Weighted centre: column, row (and plane), from 0", rois.centroid[:, axes])]
    properties = dict(rois.properties)
    if "accepted" in properties:
        accepted = np.asarray(properties.pop("accepted"), bool)
        found.append(("Accepted", _COLUMN_DESCRIPTIONS["accepted"], accepted.astype(np.uint8)))
        found.append(("Rejected", "Whether the mask was rejected", (~accepted).astype(np.uint8)))
    plane = rois.plane if segmentation.plane is None else np.full(rois.n_rois, segmentation.plane)
    origin = segmentation.program or "unknown"
    where = f"{origin}: {segmentation.path.name}" if segmentation.path else origin
    found += [
        ("roi_name", "Name of the mask in its source", np.array(rois.names, dtype=object)),
        ("plane", "Plane of the recording, from 0; -1 for masks through several planes", plane.astype(np.int64)),
        ("origin", "Program and file that the mask comes from", np.array([where] * rois.n_rois, dtype=object)),
    ]
    for key, values in properties.items():
        found.append((key, _COLUMN_DESCRIPTIONS.get(key, f"{key}, as {origin} gives it"), values))
    return [
        VectorData(name=name, description=text, data=values.tolist() if values.dtype == object else values)
        for name, text, values in found
    ]


def add_traces(
    nwbfile: NWBFile,
    table: PlaneSegmentation,
    traces: Mapping[str, NDArray],
    names: Mapping[str, Mapping[str, Any]],
    times: Mapping[str, Any],
) -> list[RoiResponseSeries]:
    """Add traces: dF/F to ``processing/ophys/DfOverF``, all others to ``Fluorescence``.

    Parameters
    ----------
    nwbfile : NWBFile
        The file in memory.
    table : PlaneSegmentation
        The masks.
    traces : mapping
        Shape (samples, rois) each, by kind.
    names : mapping
        ``name``, ``description`` and ``unit`` by kind.
    times : mapping
        ``rate`` and ``starting_time``, or ``timestamps``: an array, or a series whose times they share.

    Returns
    -------
    list of RoiResponseSeries
    """
    module = get_module(nwbfile, name="ophys", description="optical physiology processed data")
    added = []
    for kind, data in traces.items():
        container_type = DfOverF if kind.startswith("dff") else Fluorescence
        if container_type.__name__ not in module.data_interfaces:
            module.add(container_type(name=container_type.__name__))
        region = DynamicTableRegion(
            name="rois", data=list(range(len(table))), description="Masks of the traces", table=table
        )
        series = RoiResponseSeries(data=data, rois=region, **names[kind], **times)
        module[container_type.__name__].add_roi_response_series(series)
        added.append(series)
    return added


def add_images(
    nwbfile: NWBFile, images: Mapping[str, NDArray], names: Mapping[str, Mapping[str, Any]]
) -> Sequence[GrayscaleImage]:
    """Add summary images to ``processing/ophys/SegmentationImages``, one for each plane.

    Parameters
    ----------
    nwbfile : NWBFile
        The file in memory.
    images : mapping
        Shape (planes, rows, columns) each, by name.
    names : mapping
        ``name`` and ``description`` by name; of several planes, ``_plane0`` and so on are appended.

    Returns
    -------
    sequence of GrayscaleImage
    """
    if not images:
        return []
    module = get_module(nwbfile, name="ophys", description="optical physiology processed data")
    if "SegmentationImages" not in module.data_interfaces:
        module.add(Images(name="SegmentationImages", description="Summary images of the recording"))
    added = []
    for key, image in images.items():
        for plane, pixels in enumerate(image):
            suffix = f"_plane{plane}" if len(image) > 1 else ""
            about = names[key]
            picture = GrayscaleImage(
                name=f"{about['name']}{suffix}", description=about["description"], data=np.ascontiguousarray(pixels.T)
            )
            module["SegmentationImages"].add_image(picture)
            added.append(picture)
    return added
