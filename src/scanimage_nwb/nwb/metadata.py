"""What a recording says of itself, in neuroconv's dictionary form, and what the user adds to it.

Metadata are nested dictionaries: ``NWBFile``, ``Subject``, ``Devices`` and ``Ophys`` with ``ImagingPlanes`` and
``MicroscopySeries``, each of which holds one entry a channel and plane. In a user's file the entry ``"*"`` stands
for every one of them. Nothing is invented: what neither the files nor the user say is left out.
"""

import difflib
import re
import warnings
import zoneinfo
from collections.abc import Mapping
from copy import deepcopy
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from scanimage_nwb.errors import FormatError, MetadataError, ScanImageNwbWarning
from scanimage_nwb.formats.scanimage_fields import FieldOfView, parse_field_of_view, parse_scanfields
from scanimage_nwb.recording import Recording

__all__ = [
    "DEVICE_KEY",
    "imaging_metadata",
    "load_metadata_file",
    "merge_metadata",
    "name_suffix",
    "registry_key",
    "session_start_time",
]

DEVICE_KEY = "scan_image_microscope"
"""Key of the microscope in ``Devices``: one for all channels and planes."""
EVERY_ENTRY = "*"
_METERS_PER_UM = 1e-6
_TOP_LEVEL_KEYS = ("NWBFile", "Subject", "Devices", "DeviceModels", "Ophys")
_OPHYS_KEYS = ("ImagingPlanes", "MicroscopySeries")


def name_suffix(recording: Recording, channel_name: str, plane_index: int | None) -> str:
    """Return what tells the objects of one channel and plane from the others', as downstream tools expect it.

    Parameters
    ----------
    recording : Recording
        The recording.
    channel_name : str
        Named only if the recording has several.
    plane_index : int or None
        Named if one plane was chosen.

    Returns
    -------
    str
        For example ``"Channel1Plane0"``; empty for the only channel with all its planes.
    """
    words = re.split(r"[^0-9A-Za-z]+", channel_name) if recording.n_channels > 1 else []
    channel = "".join(word[:1].upper() + word[1:] for word in words)
    return channel + ("" if plane_index is None else f"Plane{plane_index}")


def registry_key(recording: Recording, channel_name: str, plane_index: int | None) -> str:
    """Return the key of one channel and plane in ``ImagingPlanes`` and ``MicroscopySeries``.

    Parameters
    ----------
    recording, channel_name, plane_index
        As for `name_suffix`.

    Returns
    -------
    str
        For example ``"scan_image_imaging_channel_1_plane_0"``.
    """
    parts = ["scan_image_imaging"]
    if recording.n_channels > 1:
        parts.append(re.sub(r"[^0-9a-z]+", "_", channel_name.lower()).strip("_"))
    if plane_index is not None:
        parts.append(f"plane_{plane_index}")
    return "_".join(parts)


def session_start_time(recording: Recording, timezone: str | None) -> datetime | None:
    """Return when the recording's clock started.

    Parameters
    ----------
    recording : Recording
        Its epoch is the local time of the computer that recorded.
    timezone : str or None
        That computer's time zone, such as ``"Europe/Berlin"``. None means this computer's, and says so once.

    Returns
    -------
    datetime or None
        With time zone; None if the files do not say.

    Raises
    ------
    MetadataError
        If there is no such time zone.
    """
    if recording.epoch is None:
        return None
    if timezone is not None:
        return recording.epoch.replace(tzinfo=_find_zone(timezone))
    start = recording.epoch.astimezone()
    warnings.warn(
        f"{recording.paths[0].name} says when it was recorded, but not in which time zone: this computer's "
        f"({start.tzname()}) is assumed. Give the right one with timezone, such as 'Europe/Berlin'",
        ScanImageNwbWarning,
        stacklevel=3,
    )
    return start


def _find_zone(timezone: str) -> zoneinfo.ZoneInfo:
    """Return a time zone by its name."""
    try:
        return zoneinfo.ZoneInfo(timezone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        near = difflib.get_close_matches(timezone, zoneinfo.available_timezones(), n=3)
        hint = f"; did you mean {' or '.join(near)}?" if near else ", such as 'Europe/Berlin' or 'UTC'"
        raise MetadataError(f"timezone {timezone!r} is not known; expected a name of the IANA list{hint}") from error


def imaging_metadata(
    recording: Recording, *, channel_index: int, plane_index: int | None, sampling_rate_hz: float, key: str
) -> dict[str, Any]:
    """Return what the files say of one channel.

    Parameters
    ----------
    recording : Recording
        The recording.
    channel_index : int
        0-based channel.
    plane_index : int or None
        Plane chosen; None for all.
    sampling_rate_hz : float
        Rate of samples.
    key : str
        Key of the entries, see `registry_key`.

    Returns
    -------
    dict
        ``Devices`` and ``Ophys``. Lengths are in metres, rates in Hz.
    """
    channel_name = recording.channel_names[channel_index]
    suffix = name_suffix(recording, channel_name, plane_index)
    space = _space(recording, plane_index)
    series = {
        "name": f"TwoPhotonSeries{suffix}",
        "description": _series_description(recording, channel_name, plane_index),
        "unit": "n.a.",
        "imaging_plane_metadata_key": key,
    }
    line_period_s = recording.layout.line_period_s
    if line_period_s:
        series["scan_line_rate"] = 1 / line_period_s
    if "field_of_view" in space:
        series["field_of_view"] = space.pop("field_of_view")
    gain = _pmt_gain(recording, channel_index)
    if gain is not None:
        series["pmt_gain"] = gain
    plane = {
        "name": f"ImagingPlane{suffix}",
        "description": _plane_description(recording, plane_index),
        "device_metadata_key": DEVICE_KEY,
        "imaging_rate": float(sampling_rate_hz),
        "optical_channel": [
            {
                "name": re.sub(r"[/:]", "_", channel_name),
                "description": f"Detector channel {channel_name!r} of ScanImage",
            }
        ],
        **space,
    }
    return {
        "Devices": {DEVICE_KEY: {"name": "Microscope", "description": _device_description(recording)}},
        "Ophys": {"ImagingPlanes": {key: plane}, "MicroscopySeries": {key: series}},
    }


def _device_description(recording: Recording) -> str:
    """Name the software that ran the microscope, and its scanner."""
    version, system = recording.header.version, recording.header.get("SI.imagingSystem")
    scanner = f", imaging system {system}" if isinstance(system, str) and system else ""
    return f"Two-photon microscope run by ScanImage{' ' + version if version else ''}{scanner}"


def _series_description(recording: Recording, channel_name: str, plane_index: int | None) -> str:
    """Say what was recorded, and what the time of a sample is."""
    text = f"Two-photon imaging data acquired with ScanImage, channel {channel_name!r}."
    if recording.n_planes > 1 and plane_index is None:
        text += f" Volumes of {recording.n_planes} planes; the time of a volume is that of its last plane."
    elif plane_index is not None:
        text += f" Plane {plane_index} (from 0) of {recording.n_planes}."
    return text


def _plane_description(recording: Recording, plane_index: int | None) -> str:
    """Say where the planes lie, and how scanfields share a page."""
    depths = recording.layout.z_um
    text = "Field imaged by ScanImage."
    if depths and plane_index is not None:
        text += f" z = {depths[plane_index]:g} um."
    elif depths:
        text += f" z of the plane(s), in um: {', '.join(f'{z:g}' for z in depths)}."
    try:
        fields = parse_scanfields(recording.header, page_shape=recording.page_shape)
    except FormatError as error:
        return f"{text} The scanfields cannot be placed on the page: {error}"
    if len(fields) > 1:
        rows = ", ".join(f"{field.name or i} in rows {field.rows[0]} to {field.rows[1] - 1}" for i, field in enumerate(fields))
        text += f" Each page stacks {len(fields)} scanfields: {rows}."
    return text


def _space(recording: Recording, plane_index: int | None) -> dict[str, Any]:
    """Return grid spacing, origin and field of view in metres, as far as the header says them.

    Values are tuples: neuroconv drops repeated values from lists when it merges metadata.
    """
    field = parse_field_of_view(recording.header, page_shape=recording.page_shape)
    if field is None:
        return {}
    depths = recording.layout.z_um if plane_index is None else recording.layout.z_um[plane_index : plane_index + 1]
    step_um = _depth_step_um(depths)
    depth_axis = (step_um,) if step_um else ()
    return {
        "grid_spacing": _meters((*field.pixel_size_um, *depth_axis)),
        "grid_spacing_unit": "meters",
        "field_of_view": _meters((*field.size_um, *(step * len(depths) for step in depth_axis))),
        **_origin(field, depths),
    }


def _origin(field: FieldOfView, depths: tuple[float, ...]) -> dict[str, Any]:
    """Return the corner of the field at its first pixel."""
    corner = tuple(center - size / 2 for center, size in zip(field.center_um, field.size_um, strict=True))
    turned = f", which is turned by {field.rotation_deg:g} degrees" if field.rotation_deg else ""
    depth = " z is the position of the focus that ScanImage reports for the first plane." if depths else ""
    return {
        "origin_coords": _meters((*corner, depths[0]) if depths else corner),
        "origin_coords_unit": "meters",
        "reference_frame": (
            "x (columns) and y (rows) are measured from the centre of the scanners' range; the origin is the corner "
            f"of the field at its first pixel{turned}.{depth}"
        ),
    }


def _meters(lengths_um: tuple[float, ...]) -> tuple[float, ...]:
    """Convert micrometres to metres."""
    return tuple(float(length) * _METERS_PER_UM for length in lengths_um)


def _depth_step_um(depths: tuple[float, ...]) -> float | None:
    """Return the distance between planes, None if there is one plane or they are unevenly spaced."""
    steps = np.diff(depths)
    if steps.size == 0 or not np.allclose(steps, steps[0]) or steps[0] == 0:
        return None
    return float(abs(steps[0]))


def _pmt_gain(recording: Recording, channel_index: int) -> float | None:
    """Return the gain of the detector with the channel's number, None if ScanImage did not control it."""
    gains = recording.header.get("SI.hPmts.gains")
    gains = gains if isinstance(gains, list) else [gains]
    numbers = recording.layout.channel_numbers
    if channel_index >= len(numbers) or numbers[channel_index] > len(gains):
        return None
    gain = gains[numbers[channel_index] - 1]
    return float(gain) if isinstance(gain, int | float) and not isinstance(gain, bool) else None


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
    import yaml

    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise MetadataError(f"{path} is no YAML: {error}") from error
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise MetadataError(f"{path} holds {type(found).__name__}; expected keys such as {', '.join(_TOP_LEVEL_KEYS)}")
    _check_keys(found, _TOP_LEVEL_KEYS, str(path))
    ophys = found.get("Ophys")
    if isinstance(ophys, dict):
        _check_keys(ophys, _OPHYS_KEYS, f"{path}, Ophys")
    return found


def _check_keys(found: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
    """Refuse keys that nobody would read."""
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
        New; lists are replaced, not joined.

    Examples
    --------
    >>> merge_metadata({"Ophys": {"ImagingPlanes": {"a": {"name": "P"}}}},
    ...                {"Ophys": {"ImagingPlanes": {"*": {"location": "V1"}}}})
    {'Ophys': {'ImagingPlanes': {'a': {'name': 'P', 'location': 'V1'}}}}
    """
    merged = deepcopy(dict(metadata))
    if EVERY_ENTRY in updates:
        for key, entry in merged.items():
            if isinstance(entry, Mapping):
                merged[key] = merge_metadata(entry, updates[EVERY_ENTRY])
    for key, value in updates.items():
        if key == EVERY_ENTRY:
            continue
        old = merged.get(key)
        merged[key] = merge_metadata(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged
