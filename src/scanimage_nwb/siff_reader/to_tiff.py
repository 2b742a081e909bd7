"""Write the photon counts of a .siff file as a TIFF that other programs read."""

from pathlib import Path
from typing import Literal

import numpy as np

from scanimage_nwb.errors import FormatError
from scanimage_nwb.siff_reader.reader import SiffReader

__all__ = ["siff_to_tiff"]


def siff_to_tiff(
    source: str | Path | SiffReader,
    tiff_path: str | Path,
    *,
    layout: Literal["scanimage", "ome"] = "scanimage",
    registered: bool = False,
    overwrite: bool = False,
) -> Path:
    """Write photon counts to a TIFF; delays are lost, so keep the .siff file.

    Parameters
    ----------
    source : path-like or SiffReader
        The .siff file.
    tiff_path : path-like
        File to write; it appears under its name only when it is whole.
    layout : {'scanimage', 'ome'}
        A BigTIFF with one page a frame and ScanImage's texts, flyback included; or an OME-TIFF of axes TZCYX, of
        complete volumes.
    registered : bool
        Apply the reader's `registration_dict`.
    overwrite : bool
        Replace a file that is there.

    Returns
    -------
    Path

    Raises
    ------
    FileExistsError
        If `tiff_path` is there, and not `overwrite`.
    FormatError
        If a page is damaged, or a pixel has more than 65,535 photons.
    ValueError
        If there is no such layout.

    Examples
    --------
    >>> from scanimage_nwb.testing.siff_files import write_siff_recording
    >>> written = write_siff_recording(folder, n_volumes=3)
    >>> siff_to_tiff(written.path, folder / "counts.tif").name
    'counts.tif'
    """
    if layout not in ("scanimage", "ome"):
        raise ValueError(f"layout is {layout!r}; expected 'scanimage' or 'ome'")
    path = Path(tiff_path)
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} is there already; give another name, or overwrite=True")
    reader = source if isinstance(source, SiffReader) else SiffReader(source)
    # The layout is given by keywords, so the name may end as it likes until the file is whole.
    partial = path.with_name(f".{path.name}.partial")
    try:
        (_write_scanimage if layout == "scanimage" else _write_ome)(reader, partial, registered)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def _shifts(reader: SiffReader, registered: bool) -> dict[int, tuple[int, int]]:
    return reader.registration_dict if registered else {}


def _check(counts: np.ndarray, reader: SiffReader) -> np.ndarray:
    """Refuse counts that 16 bits do not hold: all pages of a TIFF must be of one type."""
    if counts.dtype == np.uint32:
        raise FormatError(
            f"{reader.recording.paths[0]}: a pixel has more than 65,535 photons; a TIFF of 16 bits cannot"
        )
    return counts


def _write_scanimage(reader: SiffReader, path: Path, registered: bool) -> None:
    """Write every page with its own text, and the header in the Software and Artist tags of all."""
    import tifffile

    recording = reader.recording
    extra = [(305, "s", 0, recording.header.text, True), (315, "s", 0, recording.header.roi_text, True)]
    with tifffile.TiffWriter(path, bigtiff=True) as writer:
        for pages, counts in reader.iter_frames(np.arange(reader.num_frames), _shifts(reader, registered)):
            for page, frame in zip(pages.tolist(), _check(counts, reader), strict=True):
                text = recording.page_text(page).encode()
                writer.write(
                    frame,
                    description=text,
                    software=False,
                    metadata=None,
                    contiguous=False,
                    extratags=[tag for tag in extra if tag[3]],
                    photometric="minisblack",
                )


def _write_ome(reader: SiffReader, path: Path, registered: bool) -> None:
    """Write complete volumes as one OME series."""
    import tifffile

    im_params = reader.im_params
    pages = im_params.flatten_by_timepoints(color_channel=None)
    buffers = reader.iter_frames(pages, _shifts(reader, registered))
    frames = (frame for _, counts in buffers for frame in _check(counts, reader))
    times = reader.get_time(im_params.flatten_by_timepoints(reference_z=0))
    metadata: dict[str, object] = {"axes": "TZCYX", "Channel": {"Name": list(reader.recording.channel_names)}}
    if len(times) > 1 and np.isfinite(times).all():
        metadata |= {"TimeIncrement": float(np.median(np.diff(times))), "TimeIncrementUnit": "s"}
    with tifffile.TiffWriter(path, bigtiff=True, ome=True) as writer:
        writer.write(
            frames,
            shape=im_params.array_shape,
            dtype=np.uint16,
            metadata=metadata,
            photometric="minisblack",
        )
