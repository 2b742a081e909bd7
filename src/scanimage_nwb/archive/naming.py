"""Names of files as DANDI wants them."""

import re
from pathlib import Path
from typing import Any

from pynwb import NWBFile, read_nwb

from scanimage_nwb.errors import FormatError, MetadataError

__all__ = ["dandi_name"]

_FORBIDDEN = re.compile(r"[^0-9A-Za-z.+-]+")
"""What may not be in a label: underscores separate labels, slashes folders; the rest trips up some file system."""
_SUFFIXES = {"PatchClampSeries": "icephys", "ElectricalSeries": "ecephys", "Units": "ecephys", "LFP": "ecephys"}
_OPHYS = ("TwoPhotonSeries", "OnePhotonSeries", "PlaneSegmentation", "RoiResponseSeries", "PhotonEventSeries")


def dandi_name(nwbfile: NWBFile | str | Path) -> str:
    """Return the path of a file in a dandiset: ``sub-<id>/sub-<id>_ses-<id>_ophys.nwb``.

    Characters that may not be in a name become hyphens, as ``dandi organize`` does it. (It drops the session where a
    subject has one session only; names given here stay as they are when sessions are added.)

    Parameters
    ----------
    nwbfile : NWBFile or path-like
        File in memory, or on the disk.

    Returns
    -------
    str
        With forward slashes. Without a session_id in the file there is no ``ses-``.

    Raises
    ------
    MetadataError
        If the file has no subject_id, or nothing of an id can be in a name.
    FormatError
        If the file cannot be read as NWB.

    Examples
    --------
    >>> from pynwb.file import Subject
    >>> from pynwb.testing.mock.file import mock_NWBFile
    >>> dandi_name(mock_NWBFile(session_id="day_1/a", subject=Subject(subject_id="m 42")))
    'sub-m-42/sub-m-42_ses-day-1-a.nwb'
    """
    if isinstance(nwbfile, NWBFile):
        return _name(nwbfile, "the file", "nwb")
    path = Path(nwbfile)
    if not path.exists():
        raise FileNotFoundError(f"{path} is not there")
    try:
        opened = read_nwb(path)
    except (OSError, TypeError, KeyError, ValueError) as error:
        raise FormatError(f"{path} cannot be read as NWB: {error}") from error
    try:
        return _name(opened, str(path), "nwb.zarr" if path.is_dir() else "nwb")
    finally:
        opened.read_io.close()


def _name(nwbfile: NWBFile, where: str, suffix: str) -> str:
    subject_id = getattr(nwbfile.subject, "subject_id", None)
    if not subject_id:
        raise MetadataError(
            f"{where} has no subject_id, which its name in a dandiset begins with; say Subject.subject_id in the YAML "
            "file given with --metadata, and convert again"
        )
    subject = f"sub-{_label(str(subject_id), f'{where}: subject_id')}"
    parts = [subject]
    if nwbfile.session_id:
        parts.append(f"ses-{_label(str(nwbfile.session_id), f'{where}: session_id')}")
    modalities = _modalities(nwbfile)
    if modalities:
        parts.append("+".join(modalities))
    return f"{subject}/{'_'.join(parts)}.{suffix}"


def _label(text: str, where: str) -> str:
    """Return an id as part of a name."""
    label = _FORBIDDEN.sub("-", text).strip("-.")
    if not label:
        raise MetadataError(f"{where} is {text!r}; expected letters or digits in it, since files are named after it")
    return label


def _modalities(nwbfile: NWBFile) -> list[str]:
    """Return the kinds of data, as dandi calls them: behaviour, images, electrophysiology, optical physiology."""
    kinds = {kind.__name__ for item in _items(nwbfile) for kind in type(item).__mro__}
    found = {_SUFFIXES[kind] for kind in kinds & set(_SUFFIXES)}
    if kinds & set(_OPHYS):
        found.add("ophys")
    if "behavior" in nwbfile.processing or kinds & {"SpatialSeries", "PupilTracking", "EyeTracking"}:
        found.add("behavior")
    return sorted(found)


def _items(nwbfile: NWBFile) -> list[Any]:
    return list(nwbfile.objects.values())
