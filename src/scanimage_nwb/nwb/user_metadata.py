"""What the user adds to the metadata: read from a file, checked, and put on top of what the files say."""

import difflib
import warnings
from collections.abc import Mapping
from copy import deepcopy
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

import yaml

from scanimage_nwb.errors import MetadataError, ScanImageNwbWarning

__all__ = ["EVERY_ENTRY", "check_keys", "load_metadata_file", "merge_metadata", "warn_of_unused_entries"]

EVERY_ENTRY = "*"
"""Key that stands for every entry of ``Devices``, ``ImagingPlanes`` or ``MicroscopySeries``."""
_TOP_LEVEL_KEYS = ("NWBFile", "Subject", "Devices", "DeviceModels", "Ophys")
_OPHYS_KEYS = ("ImagingPlanes", "MicroscopySeries")


def load_metadata_file(path: Path) -> dict[str, Any]:
    """Read metadata from a YAML (or JSON) file.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    dict

    Raises
    ------
    FileNotFoundError
        If it is not there.
    MetadataError
        If it is no YAML, or has other keys at the top than metadata have.
    """
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise MetadataError(f"{path} is no YAML: {error}") from error
    if found is None:
        return {}
    found = _without_empty(found)
    if not isinstance(found, dict):
        raise MetadataError(f"{path} holds {type(found).__name__}; expected keys such as {', '.join(_TOP_LEVEL_KEYS)}")
    check_keys(found, _TOP_LEVEL_KEYS, str(path))
    ophys = found.get("Ophys")
    if isinstance(ophys, dict):
        check_keys(ophys, _OPHYS_KEYS, f"{path}, Ophys")
    return found


def _without_empty(value: Any) -> Any:
    """Return metadata without the fields that the user left empty, as in a template; a day is its first moment."""
    if isinstance(value, dict):
        return {key: _without_empty(item) for key, item in value.items() if item is not None}
    if isinstance(value, date) and not isinstance(value, datetime):
        return datetime.combine(value, time())
    return value


def check_keys(found: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
    """Refuse keys that nobody would read.

    Parameters
    ----------
    found : mapping
        What the user gave.
    known : tuple of str
        Keys that have a meaning there.
    where : str
        Said in the error.

    Raises
    ------
    MetadataError
        Names the nearest known key.
    """
    for key in found:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
            raise MetadataError(f"{where}: {key!r} is no key of the metadata; {hint}")


def merge_metadata(metadata: Mapping[str, Any], updates: Mapping[str, Any]) -> dict[str, Any]:
    """Return metadata with the user's on top.

    Parameters
    ----------
    metadata : mapping
        What the files say.
    updates : mapping
        What the user says; wins. The entry ``"*"`` of a registry goes into every entry of it.

    Returns
    -------
    dict
        New, and shares nothing with either; lists are replaced, not joined.

    Examples
    --------
    >>> merge_metadata({"Ophys": {"ImagingPlanes": {"a": {"name": "P"}}}},
    ...                {"Ophys": {"ImagingPlanes": {"*": {"location": "V1"}}}})
    {'Ophys': {'ImagingPlanes': {'a': {'name': 'P', 'location': 'V1'}}}}
    """
    merged = deepcopy(dict(metadata))
    if EVERY_ENTRY in updates:
        if not isinstance(updates[EVERY_ENTRY], Mapping):
            raise MetadataError(
                f"metadata: entry {EVERY_ENTRY!r} is {updates[EVERY_ENTRY]!r}; expected fields, such as location: V1"
            )
        for key, entry in merged.items():
            if isinstance(entry, Mapping):
                merged[key] = merge_metadata(entry, updates[EVERY_ENTRY])
    for key, value in updates.items():
        if key == EVERY_ENTRY:
            continue
        old = merged.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            merged[key] = merge_metadata(old, value)
        else:
            merged[key] = deepcopy(value)
    return merged


def warn_of_unused_entries(found: Mapping[str, Any], merged: Mapping[str, Any]) -> None:
    """Say which entries that the user gave are for no channel or plane of the recording.

    Parameters
    ----------
    found : mapping
        What the files say.
    merged : mapping
        The same with the user's on top.
    """
    ophys = merged.get("Ophys")
    if not isinstance(ophys, Mapping):
        return
    series, planes = (ophys.get(registry) for registry in ("MicroscopySeries", "ImagingPlanes"))
    for name, entries, own, users, reference in (
        ("MicroscopySeries", series, found["Ophys"]["MicroscopySeries"], {}, ""),
        ("ImagingPlanes", planes, found["Ophys"]["ImagingPlanes"], series, "imaging_plane_metadata_key"),
        ("Devices", merged.get("Devices"), found["Devices"], planes, "device_metadata_key"),
    ):
        if not isinstance(entries, Mapping) or not isinstance(users, Mapping):
            continue
        referred = {entry.get(reference) for entry in users.values() if isinstance(entry, Mapping)}
        unused = [str(key) for key in entries if key not in own and key not in referred]
        if unused:
            warnings.warn(
                f"metadata {name}: {', '.join(unused)} is no entry of this recording and is not written; "
                f"it has {', '.join(own)} ({EVERY_ENTRY!r} stands for all)",
                ScanImageNwbWarning,
                stacklevel=3,
            )
