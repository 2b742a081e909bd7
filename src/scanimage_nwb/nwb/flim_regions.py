"""Masks that are in an NWB file, as regions whose photons are added up."""

from collections.abc import Sequence
from typing import Any

from scanimage_nwb.errors import MetadataError
from scanimage_nwb.extractors import ScanImageImagingExtractor
from scanimage_nwb.nwb.flim_writer import Regions
from scanimage_nwb.nwb.roi_interface import RoiTracesInterface
from scanimage_nwb.nwb.user_metadata import merge_metadata

__all__ = ["flim_regions"]

_LARGEST_MASKS_BYTES = 1 << 32


def flim_regions(
    interfaces: Sequence[RoiTracesInterface], extractor: ScanImageImagingExtractor, metadata: Any
) -> tuple[Regions, ...]:
    """Return the masks of interfaces, in the planes of a recording.

    Every photon of a pixel counts once, whatever the weights of masks: sums of weights have no Poisson likelihood.

    Parameters
    ----------
    interfaces : sequence of RoiTracesInterface
        Masks that are added to the file.
    extractor : ScanImageImagingExtractor
        The recording.
    metadata : dict
        With the names of tables.

    Returns
    -------
    tuple of Regions

    Raises
    ------
    MetadataError
        If masks would take more than 4 GiB of memory.
    """
    found, n_planes = [], extractor.get_num_planes()
    for interface in interfaces:
        own = interface.segmentation
        rois = own.rois
        if rois.shape[0] == 1 and n_planes > 1 and own.plane is not None:
            rois = rois.in_plane(own.plane, n_planes)
        n_bytes = rois.n_rois * rois.shape[0] * rois.shape[1] * rois.shape[2]
        if n_bytes > _LARGEST_MASKS_BYTES:
            raise MetadataError(
                f"{own.path}: {rois.n_rois} masks of {rois.shape} would take {n_bytes / 2**30:.1f} GiB; write photons "
                "of fewer masks at once"
            )
        masks = rois.to_masks() > 0
        named = merge_metadata(interface.get_metadata(), metadata or {})
        table = named["Ophys"]["PlaneSegmentations"][interface.metadata_key]["name"]
        masks = masks[:, 0] if rois.shape[0] == 1 else masks
        found.append(Regions(masks, table, interface.suffix, has_lifetimes="lifetime" in own.traces))
    return tuple(found)
