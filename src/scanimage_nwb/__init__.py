"""ScanImage two-photon and FLIM recordings, read lazily and written to NWB.

Everything here loads on use, so that importing the package costs next to nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scanimage_nwb.extractors import (
        ScanImageImagingExtractor,
        ScanImageLegacyImagingExtractor,
        SiffImagingExtractor,
    )
    from scanimage_nwb.metadata_utils import (
        extract_extra_metadata,
        extract_timestamps_from_file,
        parse_matlab_vector,
        parse_metadata,
        parse_metadata_v3_8,
        read_scanimage_metadata,
    )
    from scanimage_nwb.recording import Recording, align_to_pulses, open_recording
    from scanimage_nwb.registration import RegistrationInfo, register
    from scanimage_nwb.roi_traces import RoiSet, extract_photon_traces, extract_traces, read_segmentations
    from scanimage_nwb.siff_reader import ImParams, SiffReader, siff_to_tiff

__version__ = "0.1.0"

__all__ = [
    "ImParams",
    "Recording",
    "RegistrationInfo",
    "RoiSet",
    "ScanImageImagingExtractor",
    "ScanImageLegacyImagingExtractor",
    "SiffImagingExtractor",
    "SiffReader",
    "__version__",
    "align_to_pulses",
    "extract_extra_metadata",
    "extract_photon_traces",
    "extract_timestamps_from_file",
    "extract_traces",
    "open_recording",
    "parse_matlab_vector",
    "parse_metadata",
    "parse_metadata_v3_8",
    "read_scanimage_metadata",
    "read_segmentations",
    "register",
    "siff_to_tiff",
]

_HOME = {
    "ImParams": "siff_reader",
    "SiffImagingExtractor": "extractors",
    "SiffReader": "siff_reader",
    "siff_to_tiff": "siff_reader",
    "Recording": "recording",
    "RegistrationInfo": "registration",
    "ScanImageImagingExtractor": "extractors",
    "ScanImageLegacyImagingExtractor": "extractors",
    "align_to_pulses": "recording",
    "extract_extra_metadata": "metadata_utils",
    "extract_timestamps_from_file": "metadata_utils",
    "open_recording": "recording",
    "parse_matlab_vector": "metadata_utils",
    "parse_metadata": "metadata_utils",
    "parse_metadata_v3_8": "metadata_utils",
    "read_scanimage_metadata": "metadata_utils",
    "register": "registration",
    "RoiSet": "roi_traces",
    "extract_photon_traces": "roi_traces",
    "extract_traces": "roi_traces",
    "read_segmentations": "roi_traces",
}


def __getattr__(name: str) -> Any:
    """Load a public name from the module that holds it."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
