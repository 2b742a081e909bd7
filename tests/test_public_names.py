"""What the package exports, and what importing it costs."""

import subprocess
import sys

import scanimage_nwb

EXPORTED = {
    "RoiSet",
    "extract_photon_traces",
    "extract_traces",
    "read_segmentations",
    "ImParams",
    "SiffImagingExtractor",
    "SiffReader",
    "Recording",
    "RegistrationInfo",
    "ScanImageImagingExtractor",
    "ScanImageLegacyImagingExtractor",
    "__version__",
    "align_to_pulses",
    "extract_extra_metadata",
    "extract_timestamps_from_file",
    "open_recording",
    "parse_matlab_vector",
    "parse_metadata",
    "parse_metadata_v3_8",
    "read_scanimage_metadata",
    "register",
    "siff_to_tiff",
}


def test_exported_names() -> None:
    assert set(scanimage_nwb.__all__) == EXPORTED
    assert set(dir(scanimage_nwb)) == EXPORTED
    for name in EXPORTED:
        assert getattr(scanimage_nwb, name) is not None


def test_unknown_name_is_an_attribute_error() -> None:
    assert not hasattr(scanimage_nwb, "ScanImageImagingExtracter")


def run(code: str) -> str:
    """Run code in a fresh interpreter and return what it prints."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_import_loads_nothing_heavy() -> None:
    heavy = "numba pynwb hdmf neuroconv roiextractors h5py matplotlib scipy pandas tifffile"
    loaded = run(f"import sys, scanimage_nwb; print([m for m in {heavy.split()} if m in sys.modules])")
    assert loaded == "[]"


def test_import_costs_little() -> None:
    """At most the import of tifffile and a tenth of a second; the best of a few runs, since machines are noisy."""
    code = "import time; start = time.perf_counter(); import {}; print(time.perf_counter() - start)"
    ours = min(float(run(code.format("scanimage_nwb"))) for _ in range(3))
    tifffile = min(float(run(code.format("tifffile"))) for _ in range(3))
    assert ours <= tifffile + 0.1
