"""Imaging extractors with the interface of roiextractors, on top of `Recording`.

A series is ordered (samples, rows, columns[, planes]), as roiextractors has it.
"""

from scanimage_nwb.extractors.legacy import ScanImageLegacyImagingExtractor
from scanimage_nwb.extractors.roi_traces import RoiTracesExtractor
from scanimage_nwb.extractors.scanimage import ScanImageImagingExtractor
from scanimage_nwb.extractors.siff import SiffImagingExtractor

__all__ = ["RoiTracesExtractor", "ScanImageImagingExtractor", "ScanImageLegacyImagingExtractor", "SiffImagingExtractor"]
