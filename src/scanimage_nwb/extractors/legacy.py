"""Files of ScanImage 3.8 as a roiextractors ImagingExtractor."""

import math
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scanimage_nwb.errors import ScanImageNwbWarning
from scanimage_nwb.extractors.page_series import PageSeriesExtractor
from scanimage_nwb.formats.files import ReadOnlyFile
from scanimage_nwb.formats.scanimage_header import ScanImageHeader
from scanimage_nwb.formats.scanimage_tiff import read_header_texts, read_pixels
from scanimage_nwb.formats.tiff_pages import read_page_table

__all__ = ["ScanImageLegacyImagingExtractor"]

PathType = str | Path


class ScanImageLegacyImagingExtractor(PageSeriesExtractor):
    """Pages of one TIFF file of ScanImage 3.8, or of any later version, one after the other.

    Every page is a sample: channels that were saved side by side follow one another. ScanImage 3.8 wrote no
    times, so the rate has to be given.

    Parameters
    ----------
    file_path : path-like
        The file.
    sampling_frequency : float
        Rate of pages in Hz; for 3.8 it is `state.acq.frameRate` of `extract_extra_metadata(file_path)`.

    Raises
    ------
    FileNotFoundError
        If the file is not there.
    FormatError
        If it cannot be read (a ValueError).
    ValueError
        If the rate is not above 0.

    Examples
    --------
    >>> from scanimage_nwb.testing import write_legacy_recording
    >>> written = write_legacy_recording(folder / "old.tif", n_frames=4, shape=(8, 6))
    >>> ScanImageLegacyImagingExtractor(written.paths[0], sampling_frequency=3.9).get_series().shape
    (4, 8, 6)
    """

    extractor_name = "ScanImageLegacyImagingExtractor"

    def __init__(self, file_path: PathType, sampling_frequency: float) -> None:
        super().__init__()
        self.file_path = Path(file_path).expanduser().absolute()
        self._sampling_frequency = float(sampling_frequency)
        if not 0 < self._sampling_frequency < math.inf:
            raise ValueError(f"sampling_frequency is {sampling_frequency}; expected pages a second, above 0")
        self._table = read_page_table(self.file_path)
        if self._table.problem:
            warnings.warn(f"{self.file_path}:\n  - {self._table.problem_note}", ScanImageNwbWarning, stacklevel=2)
        self._num_rows, self._num_columns = self._table.page_shape
        self._dtype = self._table.dtype
        texts = read_header_texts(self._table)
        self.header = ScanImageHeader.from_text(texts.text, texts.roi_text, source=self.file_path.name)

    def _read_samples(self, samples: NDArray[np.int64]) -> NDArray:
        out = np.empty((len(samples), self._num_rows, self._num_columns), self._dtype)
        with ReadOnlyFile(self.file_path) as file:
            read_pixels(file, self._table, samples, out)
        return out

    def get_num_samples(self) -> int:
        """Return the number of pages."""
        return self._table.n_pages

    def get_sampling_frequency(self) -> float:
        """Return the rate that was given, in Hz."""
        return self._sampling_frequency

    def get_native_timestamps(self, start_sample: int | None = None, end_sample: int | None = None) -> None:
        """Return None: files of this age hold no times."""
        return None
