"""neuroconv data interface: the photon counts of one channel of a .siff recording, as one TwoPhotonSeries."""

from pydantic import FilePath

from scanimage_nwb.extractors import SiffImagingExtractor
from scanimage_nwb.extractors.siff import CountDtype
from scanimage_nwb.nwb.interfaces import ScanImageImagingInterface

__all__ = ["SiffImagingInterface"]


class SiffImagingInterface(ScanImageImagingInterface):
    """One channel of a .siff recording (ScanImage-FLIM), optionally one plane of it, as photon counts.

    The file says when it was recorded, in UTC. Laser period and delay bins go into the description of the device
    ``ScanImage-FLIM``; arrival times of photons are read by `scanimage_nwb.SiffReader`.

    Parameters
    ----------
    file_path : FilePath, optional
        Any file of the recording. Either this or `file_paths` must be given.
    file_paths : list of FilePath, optional
        Exactly these files, in the order of time.
    channel_name : str, optional
        Channel to write; may be left out if there is one.
    plane_index : int, optional
        Plane to write; by default all, as volumes.
    slice_sample : int, optional
        Where there are several frames of each slice: the one to take.
    interleave_slice_samples : bool
        Take all frames of each slice, as samples one after the other.
    timezone : str, optional
        Time zone to express the start of the session in, such as ``"Europe/Berlin"``; by default UTC.
    metadata_key : str, optional
        Key of this interface's entries in ``Ophys``; by default it names channel and plane.
    count_dtype : {'int16', 'uint16', 'uint32'}
        Type of the counts. More than 32,767 photons in a pixel are refused with the default, which every reader
        takes as it is: suite2p halves unsigned integers.
    verbose : bool
        Show a progress bar while data are written.
    """

    display_name = "ScanImage-FLIM Imaging"
    associated_suffixes = (".siff",)
    info = "Interface for photon counts recorded with ScanImage-FLIM (.siff)."

    def __init__(
        self,
        file_path: FilePath | None = None,
        *,
        file_paths: list[FilePath] | None = None,
        channel_name: str | None = None,
        plane_index: int | None = None,
        slice_sample: int | None = None,
        interleave_slice_samples: bool = False,
        timezone: str | None = None,
        metadata_key: str | None = None,
        count_dtype: CountDtype = "int16",
        verbose: bool = False,
    ) -> None:
        self._reading_options = {"count_dtype": count_dtype}
        super().__init__(
            file_path,
            file_paths=file_paths,
            channel_name=channel_name,
            plane_index=plane_index,
            slice_sample=slice_sample,
            interleave_slice_samples=interleave_slice_samples,
            timezone=timezone,
            metadata_key=metadata_key,
            verbose=verbose,
        )

    @classmethod
    def get_extractor_class(cls) -> type[SiffImagingExtractor]:
        """Return the extractor class that reads the data."""
        return SiffImagingExtractor
