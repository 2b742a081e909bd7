"""What a recording says of itself, in neuroconv's dictionary form.

Metadata are nested dictionaries: ``NWBFile``, ``Subject``, ``Devices`` and ``Ophys`` with ``ImagingPlanes`` and
``MicroscopySeries``, each of which holds one entry a channel and plane. In a user's file the entry ``"*"`` stands
for every one of them (see `user_metadata`). Nothing is invented: what nobody says is left out.
"""

import re
from typing import Any

import numpy as np

from scanimage_nwb.errors import FormatError
from scanimage_nwb.formats.scanimage_fields import FieldOfView, parse_field_of_view, parse_scanfields
from scanimage_nwb.formats.siff import BASE_BIN_S
from scanimage_nwb.recording import Recording

__all__ = ["device_key", "imaging_metadata", "name_suffix", "registry_key", "session_description"]

_METERS_PER_UM = 1e-6


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
    channel = _channel_word(recording, channel_name) if recording.n_channels > 1 else ""
    return channel + ("" if plane_index is None else f"Plane{plane_index}")


def _channel_word(recording: Recording, channel_name: str) -> str:
    """Return a channel's name in letters and digits; its rank, from 1, where those do not tell the channels apart."""
    names = list(recording.channel_names)
    words = ["".join(word[:1].upper() + word[1:] for word in re.split(r"[^0-9A-Za-z]+", name)) for name in names]
    rank = names.index(channel_name)
    if "" in words or len({word.lower() for word in words}) < len(words):
        return f"Channel{rank + 1}"
    return words[rank]


def registry_key(recording: Recording, channel_name: str, plane_index: int | None) -> str:
    """Return the key of one channel and plane in ``ImagingPlanes`` and ``MicroscopySeries``.

    Parameters
    ----------
    recording, channel_name, plane_index
        As for `name_suffix`.

    Returns
    -------
    str
        For example ``"scan_image_imaging_channel_1_plane_0"``; of a .siff it begins with ``"siff_imaging"``.
    """
    parts = ["siff_imaging" if recording.is_siff else "scan_image_imaging"]
    if recording.n_channels > 1:
        readable = re.sub(r"[^0-9a-z]+", "_", channel_name.lower()).strip("_")
        word = _channel_word(recording, channel_name).lower()
        parts.append(readable if readable.replace("_", "") == word else word)
    if plane_index is not None:
        parts.append(f"plane_{plane_index}")
    return "_".join(parts)


def device_key(recording: Recording) -> str:
    """Return the key of the microscope in ``Devices``: one for all channels and planes.

    Parameters
    ----------
    recording : Recording
        The recording.

    Returns
    -------
    str
        ``"scan_image_microscope"``, of a .siff ``"scan_image_flim"``.
    """
    return "scan_image_flim" if recording.is_siff else "scan_image_microscope"


def session_description(recording: Recording) -> str:
    """Say what was recorded, and with what.

    Parameters
    ----------
    recording : Recording
        The recording.

    Returns
    -------
    str
    """
    what, program = "Two-photon imaging", "ScanImage"
    if recording.is_siff:
        what, program = "Two-photon imaging by photon counting", "ScanImage-FLIM"
    return f"{what} recorded with {program} {recording.header.version}".strip()


def imaging_metadata(
    recording: Recording,
    *,
    channel_index: int,
    plane_index: int | None,
    sampling_rate_hz: float,
    key: str,
    recording_name: str = "",
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
    recording_name : str
        What tells the recording from others in the same file, in the names of its objects.

    Returns
    -------
    dict
        ``Devices`` and ``Ophys``. Lengths are in metres, rates in Hz.
    """
    channel_name = recording.channel_names[channel_index]
    suffix = recording_name + name_suffix(recording, channel_name, plane_index)
    space = _space(recording, plane_index)
    series: dict[str, Any] = {
        "name": f"TwoPhotonSeries{suffix}",
        "description": _series_description(recording, channel_name, plane_index),
        "unit": "photons" if recording.is_siff else "n.a.",
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
        "device_metadata_key": device_key(recording),
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
        "Devices": {device_key(recording): _device(recording)},
        "Ophys": {"ImagingPlanes": {key: plane}, "MicroscopySeries": {key: series}},
    }


def _device(recording: Recording) -> dict[str, str]:
    """Name the microscope, the software that ran it, its scanner, and how photons were timed."""
    version, system = recording.header.version, recording.header.get("SI.imagingSystem")
    scanner = f", imaging system {system}" if isinstance(system, str) and system else ""
    description = f"Two-photon microscope run by ScanImage{' ' + version if version else ''}{scanner}"
    if not recording.is_siff:
        return {"name": "Microscope", "description": description}
    return {"name": "ScanImage-FLIM", "description": f"{description}.{_photon_timing(recording)}"}


def _photon_timing(recording: Recording) -> str:
    """Describe the laser and the delay bins, as far as the header says them."""
    facts, hardware = recording.siff_facts, recording.header.get("SI.hScan2D.name")
    text = f" Data acquired by {hardware}." if isinstance(hardware, str) and hardware else ""
    if facts.repetition_rate_hz:
        rate_hz = facts.repetition_rate_hz
        text += f" Laser: repetition rate {rate_hz:.10g} Hz, period {1e9 / rate_hz:.6g} ns."
    if facts.num_bins:
        width = "" if facts.tcspc_resolution_s is None else f" of {facts.tcspc_resolution_s * 1e12:g} ps"
        text += f" Delay since the laser pulse: {facts.num_bins} bins{width}"
        by_header = width and "tcspc_resolution_s" not in recording.photon_timing
        text += f" ({BASE_BIN_S * 1e12:g} ps x 2^binResolution)." if by_header else "."
    if recording.photon_timing:
        text += f" Given by the user: {', '.join(recording.photon_timing)}."
    return text


def _series_description(recording: Recording, channel_name: str, plane_index: int | None) -> str:
    """Say what was recorded, and what the time of a sample is."""
    text = f"Two-photon imaging data acquired with ScanImage, channel {channel_name!r}."
    if recording.is_siff:
        text = f"Photon counts of each pixel, acquired with ScanImage-FLIM, channel {channel_name!r}."
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
        rows = ", ".join(
            f"{field.name or i} in rows {field.rows[0]} to {field.rows[1] - 1}" for i, field in enumerate(fields)
        )
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
    is_number = isinstance(gain, int | float) and not isinstance(gain, bool) and np.isfinite(gain)
    return float(gain) if is_number else None
