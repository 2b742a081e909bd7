"""`SiffReader`: photons of .siff files, and pixels of ScanImage TIFFs, as arrays.

Layout, from the user down. `reader` is the public class; it is put together from `open_siff` (what a file says of
itself, and which pages a caller means), `frame_methods` and `mask_methods`. Each of these asks one job for arrays:
`frames`, `histograms`, `mask_sums`, `photon_list`; whoever adds a measure of photons adds a job there. A job gives work
to `photon_blocks`, whose threads read the blocks that `block_plan` cut, and calls a kernel on each. `masks` turns many
masks into one pass, `shifts` and `registering` tell how frames moved, `im_params` what the header says, `to_tiff`
writes TIFFs, laid out by `tiff_layouts`.
"""

from scanimage_nwb.formats.siff_metadata import FRAME_METADATA, AppendedText, EpochFit
from scanimage_nwb.siff_reader.im_params import ImParams, ScanImageModule
from scanimage_nwb.siff_reader.photon_list import Photons
from scanimage_nwb.siff_reader.reader import SiffReader
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
