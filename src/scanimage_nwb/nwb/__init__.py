"""From recordings to NWB files: neuroconv interfaces, converters and the writer.

Array order is that of NWB here: (time, width, height[, depth]).
"""

from scanimage_nwb.nwb.alignment import SyncOptions, place_on_one_clock
from scanimage_nwb.nwb.conversion import convert_recording
from scanimage_nwb.nwb.converter import ScanImageConverter
from scanimage_nwb.nwb.events_interface import RecordedEventsInterface
from scanimage_nwb.nwb.flim_interface import FlimInterface
from scanimage_nwb.nwb.interfaces import ScanImageImagingInterface
from scanimage_nwb.nwb.photon_reader import open_photons
from scanimage_nwb.nwb.pulse_sources import read_pulse_times, rising_edges
from scanimage_nwb.nwb.registration import RegistrationInterface, add_registration
from scanimage_nwb.nwb.roi_conversion import RoiOptions, write_traces
from scanimage_nwb.nwb.roi_interface import RoiTracesInterface
from scanimage_nwb.nwb.siff_interface import SiffImagingInterface
from scanimage_nwb.nwb.user_metadata import load_metadata_file, merge_metadata
from scanimage_nwb.nwb.verifying import verify_nwbfile
from scanimage_nwb.nwb.writing import write_nwbfile

__all__ = [
    "FlimInterface",
    "RecordedEventsInterface",
    "RegistrationInterface",
    "RoiOptions",
    "RoiTracesInterface",
    "ScanImageConverter",
    "ScanImageImagingInterface",
    "SiffImagingInterface",
    "SyncOptions",
    "add_registration",
    "convert_recording",
    "load_metadata_file",
    "merge_metadata",
    "open_photons",
    "place_on_one_clock",
    "read_pulse_times",
    "rising_edges",
    "verify_nwbfile",
    "write_nwbfile",
    "write_traces",
]
