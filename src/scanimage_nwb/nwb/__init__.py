"""From recordings to NWB files: neuroconv interfaces, converters and the writer.

Array order is that of NWB here: (time, width, height[, depth]).
"""

from scanimage_nwb.nwb.conversion import convert_recording
from scanimage_nwb.nwb.converter import ScanImageConverter
from scanimage_nwb.nwb.interfaces import ScanImageImagingInterface
from scanimage_nwb.nwb.roi_interface import RoiTracesInterface
from scanimage_nwb.nwb.siff_interface import SiffImagingInterface
from scanimage_nwb.nwb.user_metadata import load_metadata_file, merge_metadata
from scanimage_nwb.nwb.verifying import verify_nwbfile
from scanimage_nwb.nwb.writing import write_nwbfile

__all__ = [
    "RoiTracesInterface",
    "ScanImageConverter",
    "ScanImageImagingInterface",
    "SiffImagingInterface",
    "convert_recording",
    "load_metadata_file",
    "merge_metadata",
    "verify_nwbfile",
    "write_nwbfile",
]
