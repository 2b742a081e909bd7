"""`SiffReader`: photons of .siff files, and pixels of ScanImage TIFFs, as arrays.

Layout: `reader` holds the public class, `im_params` what it says of the recording, `photon_blocks` the threads that
read and decode, `masks` how many masks become one pass, `to_tiff` the conversion to TIFF.
"""

from scanimage_nwb.formats.siff_metadata import FRAME_METADATA, AppendedText, EpochFit
from scanimage_nwb.siff_reader.im_params import ImParams, ScanImageModule
from scanimage_nwb.siff_reader.reader import Photons, SiffReader
from scanimage_nwb.siff_reader.to_tiff import siff_to_tiff

__all__ = [
    "FRAME_METADATA",
    "AppendedText",
    "EpochFit",
    "ImParams",
    "Photons",
    "ScanImageModule",
    "SiffReader",
    "siff_to_tiff",
]
