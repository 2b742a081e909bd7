"""Masks and traces that other programs made: one door to all of them."""

import zipfile
from pathlib import Path

from scanimage_nwb.errors import FormatError, RoiError
from scanimage_nwb.roi_traces.segmentation import Segmentation

__all__ = ["read_segmentations"]

_EXPECTED = (
    "a suite2p folder, CaImAn's HDF5 file, a label image (.tif, .npy), a stack of masks (.npy, .npz), an ImageJ ROI "
    "file or zip (.roi, .zip), or polygons as .json"
)


def read_segmentations(path: str | Path, *, shape: tuple[int, ...] | None = None) -> tuple[Segmentation, ...]:
    """Read masks, and traces if there are any, whichever program wrote them.

    What a file holds that is not taken over is named in one warning.

    Parameters
    ----------
    path : path-like
        A suite2p folder (``suite2p``, ``plane0``, ``combined``); CaImAn's HDF5 file; a label image as TIFF or .npy; a
        boolean or weighted stack as .npy or .npz; ImageJ ROIs as .roi or .zip; polygons as JSON.
    shape : tuple of int, optional
        Rows and columns, or planes, rows and columns, of the recording: ImageJ ROIs and polygons do not say them.

    Returns
    -------
    tuple of Segmentation
        One for each plane that the program treated by itself; masks that lie in a volume are one.

    Raises
    ------
    FileNotFoundError
        If it, or a file that belongs to it, is not there.
    FormatError
        If it cannot be read.
    RoiError
        If its masks or traces cannot be used.
    """
    path = Path(path).expanduser()
    if not path.exists():
        raise FileNotFoundError(f"{path} is not there; expected {_EXPECTED}")
    if path.is_dir():
        from scanimage_nwb.roi_traces.importing_suite2p import read_suite2p

        return read_suite2p(path)
    suffix = path.suffix.lower()
    if suffix in (".hdf5", ".h5", ".hdf"):
        from scanimage_nwb.roi_traces.importing_caiman import read_caiman

        return (read_caiman(path),)
    from scanimage_nwb.roi_traces import importing_masks as masks

    if suffix in (".tif", ".tiff"):
        return (masks.read_label_tiff(path),)
    if suffix in (".npy", ".npz"):
        return (masks.read_numpy_masks(path),)
    if suffix in (".json", ".roi") or (suffix == ".zip" and zipfile.is_zipfile(path)):
        if shape is None:
            raise RoiError(f"{path} does not say how large the field is; give shape=(rows, columns)")
        return (masks.read_polygons(path, shape) if suffix == ".json" else masks.read_imagej(path, shape),)
    raise FormatError(f"{path} is of no kind that masks are read from; expected {_EXPECTED}")
