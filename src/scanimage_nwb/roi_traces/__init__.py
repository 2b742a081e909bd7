"""Masks and their traces: sums, means, neuropil, background, dF/F; of photons, histograms, lifetimes and phasors.

Arrays in, arrays out; frames come from whatever gives runs of samples.
"""

from scanimage_nwb.roi_traces.baseline import df_over_f, rolling_df_over_f, rolling_percentile, subtract_neuropil
from scanimage_nwb.roi_traces.extracting import TraceBlock, Traces, extract_traces, iter_traces
from scanimage_nwb.roi_traces.importing import read_segmentations
from scanimage_nwb.roi_traces.photon_traces import PhotonTraces, extract_photon_traces
from scanimage_nwb.roi_traces.roi_set import RoiSet
from scanimage_nwb.roi_traces.segmentation import Segmentation
from scanimage_nwb.roi_traces.sources import FrameSource, as_frame_source
from scanimage_nwb.roi_traces.summary_images import ImageSums
from scanimage_nwb.roi_traces.surround import background_rois, neuropil_rois

__all__ = [
    "FrameSource",
    "ImageSums",
    "PhotonTraces",
    "RoiSet",
    "Segmentation",
    "TraceBlock",
    "Traces",
    "as_frame_source",
    "background_rois",
    "df_over_f",
    "extract_photon_traces",
    "extract_traces",
    "iter_traces",
    "neuropil_rois",
    "read_segmentations",
    "rolling_df_over_f",
    "rolling_percentile",
    "subtract_neuropil",
]
