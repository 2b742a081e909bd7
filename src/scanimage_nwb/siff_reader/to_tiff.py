"""Write the photon counts of a .siff file as a TIFF that other programs read."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from scanimage_nwb.errors import FormatError, PhotonRangeError, UnsupportedFormatError
from scanimage_nwb.recording import Recording
from scanimage_nwb.siff_reader.reader import SiffReader
from scanimage_nwb.siff_reader.tiff_layouts import write_ome, write_scanimage
from scanimage_nwb.whole_file import whole_or_nothing

__all__ = ["siff_to_tiff"]

_COUNT_DTYPES = ("uint16", "int16", "uint32")
_DISK_FULL = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}


def siff_to_tiff(
    source: str | Path | SiffReader,
    tiff_path: str | Path,
    *,
    layout: Literal["scanimage", "ome"] = "scanimage",
    registered: bool = False,
    count_dtype: Literal["uint16", "int16", "uint32"] = "uint16",
    compress: bool = False,
    overwrite: bool = False,
    progress: bool = False,
) -> Path:
    """Write photon counts to a TIFF; delays are lost, so keep the .siff file.

    Parameters
    ----------
    source : path-like or SiffReader
        The .siff file. Of a ScanImage TIFF, or several of one acquisition, the pixels are written as they are.
    tiff_path : path-like
        File to write; it appears under its name only when it is whole.
    layout : {'scanimage', 'ome'}
        A BigTIFF as ScanImage writes it: header and ROI groups, and one page a frame with its text, flyback included.
        Or an OME-TIFF of axes TZCYX, of complete volumes, with the time of every plane.
    registered : bool
        Apply the reader's `registration_dict`.
    count_dtype : {'uint16', 'int16', 'uint32'}
        Type of photon counts; what does not fit is refused.
    compress : bool
        Compress without loss (zlib); an OME-TIFF only, since programs expect ScanImage's own pages uncompressed.
    overwrite : bool
        Replace a file that is there; never one of the recording.
    progress : bool
        Draw a progress bar, where there is a terminal.

    Returns
    -------
    Path

    Raises
    ------
    FileExistsError
        If `tiff_path` is there, and not `overwrite`; or if it is a folder, or a file of the recording.
    FileNotFoundError
        If the folder to write into is not there.
    FormatError
        If a page is damaged; if no volume is complete, for an OME-TIFF; or if files of several clocks would have to
        become one file of ScanImage's.
    PhotonRangeError
        If a pixel has more photons than `count_dtype` holds.
    UnsupportedFormatError
        If the reader is one of an NWB file.
    ValueError
        If there is no such layout or type, `tiff_path` ends in .siff, or nothing is registered.

    Examples
    --------
    >>> import tifffile
    >>> from scanimage_nwb.testing.siff_files import write_siff_recording
    >>> written = write_siff_recording(folder, n_volumes=3, photons_per_page=50)
    >>> path = siff_to_tiff(written.path, folder / "counts.tif")
    >>> with tifffile.TiffFile(path) as tif:
    ...     len(tif.pages), int(tif.pages[0].asarray().sum()), tif.scanimage_metadata["FrameData"]["SI.imagingSystem"]
    (3, 50, 'FLIM')
    """
    _check_choices(layout, count_dtype, compress)
    path = Path(tiff_path).expanduser().absolute()
    reader = source if isinstance(source, SiffReader) else SiffReader(source)
    _check_source(reader, registered)
    _check_target(path, reader.recording, overwrite)
    pages = _pages_to_write(reader, layout)
    dtype = np.dtype(count_dtype) if reader.is_siff else reader.recording.dtype
    frames = _read_frames(reader, pages.reshape(-1), dtype, registered, progress)
    with _naming_full_disk(path), whole_or_nothing(path, overwrite=overwrite) as partial:
        if layout == "scanimage":
            write_scanimage(partial, reader.recording, pages, frames)
        else:
            write_ome(partial, reader.recording, pages, frames, dtype, compress=compress)
    return path


def _check_choices(layout: str, count_dtype: str, compress: bool) -> None:
    """Refuse choices that are unknown, or exclude each other."""
    if layout not in ("scanimage", "ome"):
        raise ValueError(f"layout is {layout!r}; expected 'scanimage' or 'ome'")
    if count_dtype not in _COUNT_DTYPES:
        raise ValueError(f"count_dtype is {count_dtype!r}; expected one of {', '.join(_COUNT_DTYPES)}")
    if compress and layout == "scanimage":
        raise ValueError("ScanImage's own layout is not compressed; leave compression out, or choose layout 'ome'")


def _check_source(reader: SiffReader, registered: bool) -> None:
    """Refuse a reader that has no file of ScanImage's behind it, or no shifts to apply."""
    if not isinstance(reader.recording, Recording):
        raise UnsupportedFormatError(
            f"{reader.recording.paths[0]} holds photons, but neither header nor texts of ScanImage's pages, which a "
            "TIFF takes over; give the .siff file, or write what get_frames returns with tifffile"
        )
    if registered and reader.registration_info is None and not reader.registration_dict:
        raise ValueError(
            f"{reader.recording.paths[0]}: nothing is registered; give a SiffReader after its register or "
            "use_registration, or leave out registered=True"
        )


def _check_target(path: Path, recording: Recording, overwrite: bool) -> None:
    """Refuse to write over the recording, or over anything that the user has not named for it."""
    for own in recording.paths:
        if path.exists() and own.exists() and path.samefile(own):
            raise FileExistsError(
                f"{path} is a file of the recording itself ({own}), which a TIFF does not replace: its photons would "
                "be lost. Choose another name"
            )
    if path.suffix.lower() == ".siff":
        raise ValueError(f"{path} would hold no photons, though its name ends in .siff; choose one that ends in .tif")
    if path.is_dir():
        raise FileExistsError(f"{path} is a folder; give the name of a file in it")
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} is there already; choose another name, or allow to overwrite it")


def _pages_to_write(reader: SiffReader, layout: str) -> NDArray[np.int64]:
    """Return the pages in the order of the file to write; of an OME-TIFF in its shape, (timepoints, planes, channels).

    Pages of another shape, and volumes that hold one, are left out; a warning at opening names them.
    """
    recording, im_params = reader.recording, reader.im_params
    if layout == "scanimage":
        _check_one_clock(recording)
        return np.flatnonzero(reader._of_usual_shape)
    pages = np.array(im_params.flatten_by_timepoints(color_channel=None), np.int64).reshape(im_params.array_shape[:3])
    if pages.size == 0:
        raise FormatError(
            f"{recording.paths[0]}: none of the volumes is complete, so there is nothing to write as OME-TIFF: "
            f"{recording.n_pages} page(s), and a volume takes {recording.n_planes} planes of {recording.n_channels} "
            "channel(s). Write single pages with layout 'scanimage'"
        )
    return pages


def _check_one_clock(recording: Recording) -> None:
    """Refuse files of which each counts frames or time anew: in a file of ScanImage's they run on from page to page."""
    for before, after in zip(recording.tables, recording.tables[1:], strict=False):
        if after.frame_number[0] < before.frame_number[-1] or after.timestamp_s[0] < before.timestamp_s[-1]:
            raise FormatError(
                f"{after.path} counts its frames or their time anew behind {before.path}; pages of one file of "
                "ScanImage's layout have one clock. Write files one by one, each opened by "
                "open_recording(file_paths=[path]), or choose layout 'ome'"
            )


def _read_frames(
    reader: SiffReader, pages: NDArray[np.int64], dtype: np.dtype, registered: bool, progress: bool
) -> Iterator[NDArray]:
    """Yield frames one by one, of which a buffer is read at a time."""
    from tqdm import tqdm

    shifts = reader.registration_dict if registered else {}
    with tqdm(total=len(pages), unit="page", disable=None if progress else True) as bar:
        for found, counts in reader.iter_frames(pages, shifts):
            yield from _fit(counts, found, dtype, reader.recording)
            bar.update(len(found))


def _fit(counts: NDArray, pages: NDArray[np.int64], dtype: np.dtype, recording: Recording) -> NDArray:
    """Return counts as `dtype`, if it holds them."""
    if counts.dtype == dtype:
        return counts
    most = np.iinfo(dtype).max
    if counts.max() > most:
        rank, row, column = np.unravel_index(int(counts.argmax()), counts.shape)
        wider = "uint16" if counts.max() <= np.iinfo(np.uint16).max else "uint32"
        raise PhotonRangeError(
            f"{recording.paths[0]}: page {pages[rank]}, row {row}, column {column} has {counts.max()} photons; a TIFF "
            f"of {dtype} holds at most {most:,} in a pixel. Choose count_dtype='{wider}' (in the shell: --count-dtype "
            f"{wider})"
        )
    return counts.astype(dtype)


@contextmanager
def _naming_full_disk(path: Path) -> Iterator[None]:
    """Say which file could not be written: the system's own error does not."""
    try:
        yield
    except OSError as error:
        if error.errno in _DISK_FULL and error.filename is None:
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
