"""Motion and masks that lie beside recordings, and which recording they are of."""

import json
import re
import warnings
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import h5py
import numpy as np

from scanimage_nwb.errors import FormatError, RoiError, ScanImageNwbError
from scanimage_nwb.extractors import ScanImageImagingExtractor, SiffImagingExtractor
from scanimage_nwb.nwb.roi_conversion import RoiOptions, fitting_segmentations
from scanimage_nwb.recording import Recording
from scanimage_nwb.registration import read_registration
from scanimage_nwb.registration.info import FORMAT_NAME
from scanimage_nwb.roi_traces import read_segmentations
from scanimage_nwb.siff_reader.registering import describe_source, page_table

__all__ = ["FoundProduct", "find_masks", "find_shifts"]

_MASK_NAME = re.compile("mask|label|roi|cell", re.IGNORECASE)
_SHARE_OF_EQUAL_NEIGHBOURS = 0.8
"""In a label image most pixels are like the next; in a picture few are."""


class Named(Protocol):
    """A recording with a name."""

    @property
    def name(self) -> str:
        """Its name in the session file."""

    @property
    def recording(self) -> Recording:
        """It."""


@dataclass(frozen=True, slots=True)
class FoundProduct:
    """A file or folder beside the recordings that holds motion or masks."""

    path: Path
    what: str
    """What it is, and what is in it."""
    recording: str | None
    """Recording that it fits; None if it fits none, or several."""
    reason: str = ""
    """Why it is given to no recording."""
    needs_plane: bool = False
    """Whether masks do not say which plane of the recording they were drawn in."""


def find_shifts(folder: Path, recordings: Sequence[Named]) -> Iterator[FoundProduct]:
    """Yield the motion that lies in a folder.

    Parameters
    ----------
    folder : Path
        Looked through for suite2p's folders and HDF5 files.
    recordings : sequence
        What it may be of.

    Yields
    ------
    FoundProduct
    """
    for path in sorted(folder.iterdir()):
        if path.is_dir() and _has_suite2p(path, "ops.npy"):
            what = "shifts of suite2p"
        elif _holds(path, lambda file: file.attrs.get("format") == FORMAT_NAME):
            what = "shifts of scanimage-nwb register"
        elif _holds(path, lambda file: "yx_shifts" in file):
            what = "shifts of SiffPy"
        elif _holds(path, lambda file: "estimates" in file and np.ndim(file["estimates"].get("shifts", 0)) == 2):
            what = "shifts of CaImAn"
        else:
            continue
        yield _of_one(path, recordings, _fit_shifts, what)


def _fit_shifts(recording: Recording, path: Path, what: str) -> FoundProduct:
    """Return shifts if they are of a recording; else say why not."""
    info = read_registration(path, page_table(recording))
    info.check_source(describe_source(recording))
    names = [one.name for one in recording.paths]
    if info.source.get("file_name", names[0]) not in names:
        raise FormatError(f"{path.name} was found in {info.source['file_name']}, and not in {names[0]}")
    return FoundProduct(path, f"{what}, of {len(info.shifts)} frames", None)


def find_masks(folder: Path, recordings: Sequence[Named], other_tiffs: Iterable[Path]) -> Iterator[FoundProduct]:
    """Yield the masks that lie in a folder.

    Parameters
    ----------
    folder : Path
        Looked through.
    recordings : sequence
        What they may be of.
    other_tiffs : iterable of Path
        TIFFs that belong to no recording; label images among them are masks.

    Yields
    ------
    FoundProduct
        Those that come with traces first.
    """
    others = set(other_tiffs)
    found = []
    for path in sorted(folder.iterdir()):
        kind = _kind_of_masks(path, path in others)
        if kind:
            found.append(_of_one(path, recordings, _fit_masks, kind))
    yield from sorted(found, key=lambda one: "traces" not in one.what)


def _kind_of_masks(path: Path, is_other_tiff: bool) -> str:
    """Say what kind of masks a file or folder holds; nothing if none."""
    suffix = path.suffix.lower()
    if path.is_dir():
        return "regions of suite2p" if _has_suite2p(path, "stat.npy") else ""
    if _holds(path, lambda file: "estimates" in file):
        return "regions of CaImAn"
    if suffix == ".roi" or (suffix == ".zip" and _is_zip_of_rois(path)):
        return "regions of ImageJ"
    if suffix == ".json" and _is_polygons(path):
        return "polygons"
    if suffix in {".npy", ".npz"} and _MASK_NAME.search(path.stem):
        return "masks"
    return "label image" if is_other_tiff and _is_label_image(path) else ""


def _fit_masks(recording: Recording, path: Path, kind: str) -> FoundProduct:
    """Return masks if they are of a recording; else say why not."""
    extractor_class = SiffImagingExtractor if recording.is_siff else ScanImageImagingExtractor
    extractor = extractor_class.from_recording(
        recording,
        channel_name=recording.channel_names[0],
        interleave_slice_samples=recording.frames_per_slice > 1,
    )
    needs_plane = False
    try:
        found = fitting_segmentations(extractor, RoiOptions(path))
    except RoiError:
        if recording.n_planes == 1:
            raise
        found = fitting_segmentations(extractor, RoiOptions(path, plane=0))
        needs_plane = True
    n_rois = sum(one.rois.n_rois for one in found)
    traces = ", with traces" if any(one.traces for one in found) else ""
    return FoundProduct(path, f"{kind}: {n_rois} masks{traces}", None, needs_plane=needs_plane)


def _of_one(
    path: Path, recordings: Sequence[Named], fit: Callable[[Recording, Path, str], FoundProduct], what: str
) -> FoundProduct:
    """Return a product with the only recording that it fits."""
    fits, reasons = [], []
    for one in recordings:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # said again when it is converted
                fits.append((one.name, fit(one.recording, path, what)))
        except (ScanImageNwbError, ValueError, OSError) as error:
            reasons.append(str(error))
    if not fits:
        return FoundProduct(path, what, None, reasons[0])
    if len(fits) > 1:
        return FoundProduct(path, fits[0][1].what, None, f"fits {', '.join(name for name, _ in fits)}")
    name, product = fits[0]
    return FoundProduct(path, product.what, name, needs_plane=product.needs_plane)


def _has_suite2p(folder: Path, name: str) -> bool:
    """Tell whether a folder is suite2p's, and has a file of a name for its planes."""
    return any(next(folder.glob(pattern), None) for pattern in (name, f"plane*/{name}", f"suite2p/plane*/{name}"))


def _holds(path: Path, test: Callable[[Any], object]) -> bool:
    """Tell whether a file is HDF5 and passes a test."""
    if path.suffix.lower() not in {".h5", ".hdf5", ".hdf"} or not path.is_file():
        return False
    try:
        with h5py.File(path, "r") as file:
            return bool(test(file))
    except OSError:
        return False


def _is_zip_of_rois(path: Path) -> bool:
    """Tell whether a zip holds ROIs of ImageJ and nothing else."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError):
        return False
    return bool(names) and all(name.lower().endswith(".roi") for name in names)


def _is_polygons(path: Path) -> bool:
    """Tell whether a JSON file is a list of polygons."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError, RecursionError):
        return False
    rois = content.get("rois") if isinstance(content, dict) else content
    return isinstance(rois, list) and bool(rois) and all(isinstance(one, dict) and "polygon" in one for one in rois)


def _is_label_image(path: Path) -> bool:
    """Tell whether a TIFF is a label image: whole numbers, on a ground of zeros, mostly equal to their neighbours."""
    import tifffile

    try:
        read_segmentations(path)  # refuses what cannot be labels
        image = tifffile.imread(path)
    except (FormatError, RoiError, OSError):
        return False
    equal = np.mean(image[..., 1:] == image[..., :-1]) if image.shape[-1] > 1 else 0
    return bool(image.min() == 0 and equal >= _SHARE_OF_EQUAL_NEIGHBOURS)
