"""Names of files as DANDI wants them."""

from pathlib import Path

from pynwb import NWBFile, read_nwb

from scanimage_nwb.errors import FormatError, MetadataError
from scanimage_nwb.nwb.dandi_naming import dandi_label

__all__ = ["dandi_name", "open_nwb"]

_MODALITIES = {
    "TwoPhotonSeries": "ophys",
    "OnePhotonSeries": "ophys",
    "PlaneSegmentation": "ophys",
    "RoiResponseSeries": "ophys",
    "PhotonEventSeries": "ophys",
    "ElectricalSeries": "ecephys",
    "Units": "ecephys",
    "PatchClampSeries": "icephys",
    "OptogeneticSeries": "ogen",
    "SpatialSeries": "behavior",
}


def dandi_name(nwbfile: NWBFile | str | Path, description: str | None = None) -> str:
    """Return the path of a file in a dandiset: ``sub-<id>/sub-<id>_ses-<id>_ophys.nwb``.

    What is no letter or digit in an id becomes a hyphen. Unlike ``dandi organize``, which drops the session where a
    subject has a single one, this keeps it, so that names stay when sessions are added.

    Parameters
    ----------
    nwbfile : NWBFile or path-like
        File in memory, or on the disk.
    description : str, optional
        Tells files of one session apart: it becomes ``_desc-<description>``.

    Returns
    -------
    str
        With forward slashes. Without a session_id in the file there is no ``ses-``.

    Raises
    ------
    MetadataError
        If the file has no subject_id, or an id has neither letters nor digits.
    FileNotFoundError, FormatError
        If there is no such file, or it cannot be read as NWB.

    Examples
    --------
    >>> from pynwb.file import Subject
    >>> from pynwb.testing.mock.file import mock_NWBFile
    >>> from pynwb.testing.mock.ophys import mock_ImagingPlane, mock_TwoPhotonSeries
    >>> nwbfile = mock_NWBFile(session_id="day_1/a", subject=Subject(subject_id="m 42"))
    >>> nwbfile.add_acquisition(mock_TwoPhotonSeries(imaging_plane=mock_ImagingPlane(nwbfile=nwbfile)))
    >>> dandi_name(nwbfile)
    'sub-m-42/sub-m-42_ses-day-1-a_ophys.nwb'
    """
    if isinstance(nwbfile, NWBFile):
        return _name(nwbfile, "the file", description, "nwb")
    path = Path(nwbfile)
    opened = open_nwb(path)
    try:
        return _name(opened, str(path), description, "nwb.zarr" if path.is_dir() else "nwb")
    finally:
        opened.read_io.close()


def open_nwb(path: Path) -> NWBFile:
    """Open a file; close it with ``nwbfile.read_io.close()``.

    Parameters
    ----------
    path : Path
        HDF5 or Zarr.

    Returns
    -------
    NWBFile

    Raises
    ------
    FileNotFoundError, FormatError
        If there is no such file, or it cannot be read as NWB.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path} is not there")
    try:
        return read_nwb(path)
    except (OSError, TypeError, KeyError, ValueError) as error:
        raise FormatError(f"{path} cannot be read as NWB: {error}") from error


def _name(nwbfile: NWBFile, where: str, description: str | None, suffix: str) -> str:
    subject_id = getattr(nwbfile.subject, "subject_id", None)
    if not subject_id:
        raise MetadataError(
            f"{where} has no subject_id, which its name in a dandiset begins with; say Subject.subject_id in the YAML "
            "file given with --metadata, and convert again"
        )
    subject = f"sub-{dandi_label(f'{where}: subject_id', str(subject_id))}"
    parts = [subject]
    if nwbfile.session_id:
        parts.append(f"ses-{dandi_label(f'{where}: session_id', str(nwbfile.session_id))}")
    if description:
        parts.append(f"desc-{dandi_label('description', description)}")
    modalities = _modalities(nwbfile)
    if modalities:
        parts.append("+".join(modalities))
    return f"{subject}/{'_'.join(parts)}.{suffix}"


def _modalities(nwbfile: NWBFile) -> list[str]:
    """Return the kinds of data, in dandi's words."""
    kinds = {kind.__name__ for item in nwbfile.objects.values() for kind in type(item).__mro__}
    return sorted({modality for kind, modality in _MODALITIES.items() if kind in kinds})
