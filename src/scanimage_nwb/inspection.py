"""What a recording holds, as a dictionary for programs and as lines for people."""

import math
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scanimage_nwb.formats.scanimage_fields import parse_field_of_view, parse_scanfields
from scanimage_nwb.formats.siff import COMPRESSED, PLAIN, RAW, PhotonPages
from scanimage_nwb.recording import Recording
from scanimage_nwb.siff_reader import SiffReader
from scanimage_nwb.time_axis import find_gaps, regular_rate, typical_rate

__all__ = ["describe_recording", "format_description"]

_MOST_GAPS = 10
_MOST_EVENTS = 5


def describe_recording(recording: Recording) -> dict[str, Any]:
    """Describe a recording.

    Parameters
    ----------
    recording : Recording
        The recording.

    Returns
    -------
    dict
        JSON-ready: files, versions, channels, planes, samples, rates in Hz from header and timestamps, gaps in
        seconds, lengths in micrometres, warnings; of a .siff also delay bins, laser and appended text.
    """
    index, layout = recording.index, recording.layout
    times = _sample_times(recording)
    field = parse_field_of_view(recording.header, page_shape=recording.page_shape)
    planar = recording.n_planes == 1
    return {
        "files": [str(path) for path in recording.paths],
        "n_pages": recording.n_pages,
        "page_shape": list(recording.page_shape),
        "dtype": "photons" if recording.is_siff else str(recording.dtype),
        "scanimage_version": recording.header.version,
        "tiff_version": recording.tiff_version,
        "channels": list(recording.channel_names),
        "n_planes": recording.n_planes,
        "n_flyback": index.layout.n_flyback,
        "frames_per_slice": recording.frames_per_slice,
        "averaging": index.layout.averaging,
        "slow_stack": index.layout.slow_stack,
        "z_um": list(layout.z_um),
        "n_samples": len(index.sample_pages),
        "has_timestamps": times is not None,
        "sample_kind": "frame" if planar else "volume",
        "header_rate_hz": layout.frame_rate_hz if planar else layout.volume_rate_hz,
        "timestamp_rate_hz": None if times is None else regular_rate(times) or typical_rate(times),
        "regular": times is not None and regular_rate(times) is not None,
        "duration_s": None if times is None or not len(times) else float(times[-1] - times[0]),
        "gaps": [] if times is None else [dict(zip(_GAP_KEYS, gap, strict=True)) for gap in find_gaps(times)],
        "missing_frames": index.n_missing_frames,
        "incomplete_volumes": 0 if planar else index.n_incomplete_volumes,
        "epoch": recording.epoch.isoformat() if recording.epoch else None,
        "pixel_size_um": list(field.pixel_size_um) if field else None,
        "field_of_view_um": list(field.size_um) if field else None,
        "n_scanfields": len(parse_scanfields(recording.header, page_shape=recording.page_shape)),
        "photons": _describe_photons(recording) if recording.is_siff else None,
        "warnings": list(recording.notes),
    }


def _describe_photons(recording: Recording) -> dict[str, Any]:
    """Describe how photons are timed and stored, and what was written into the file meanwhile."""
    reader = SiffReader.from_recording(recording)
    kinds = np.concatenate([PhotonPages.from_table(table).kind for table in recording.tables])
    return {
        "num_bins": reader.facts.num_bins,
        "tcspc_resolution_s": reader.facts.tcspc_resolution_s,
        "repetition_rate_hz": reader.facts.repetition_rate_hz,
        "n_raw_pages": int((kinds == RAW).sum()),
        "n_compressed_pages": int((kinds == COMPRESSED).sum()),
        "n_plain_pages": int((kinds == PLAIN).sum()),
        "appended_text": [
            {"page": event.frame, "time_s": _finite(event.time_s), "text": event.text}
            for event in reader.get_appended_text()
        ],
    }


def _finite(number: float | None) -> float | None:
    """Return a number that JSON can hold."""
    return number if number is not None and math.isfinite(number) else None


_GAP_KEYS = ("after_sample", "at_s", "length_s")


def _sample_times(recording: Recording) -> NDArray[np.float64] | None:
    """Return the time of every sample (of its last plane, first slice sample), None if there are no timestamps."""
    if recording.timestamp_s is None:
        return None
    return recording.timestamp_s[recording.index.sample_pages[:, 0, -1, 0]]


def format_description(description: dict[str, Any]) -> str:
    """Put a description into lines for people.

    Parameters
    ----------
    description : dict
        From `describe_recording`.

    Returns
    -------
    str
    """
    d = description
    files = d["files"]
    rows, columns = d["page_shape"]
    lines = [
        f"{files[0]}" + (f" and {len(files) - 1} more file(s)" if len(files) > 1 else ""),
        _line("pages", f"{d['n_pages']} of {rows} x {columns} pixels, {_storage(d)}"),
        _line(
            "ScanImage",
            f"{d['scanimage_version'] or 'version unknown'} (TIFF layout {d['tiff_version'] or 'unmarked'})",
        ),
        _line("channels", ", ".join(d["channels"])),
        _line("planes", _planes(d)),
        _line("samples", f"{d['n_samples']} {d['sample_kind']}{'' if d['n_samples'] == 1 else 's'}" + _duration(d)),
        _line("rate", _rate(d)),
        _line("clock started", _start(d)),
        _line("pixel size", _pixel_size(d)),
        _line("gaps", _gaps(d["gaps"])),
    ]
    if d["photons"]:
        lines[3:3] = [_line("delay bins", _delay_bins(d["photons"]))]
        lines.append(_line("appended text", _appended_text(d["photons"]["appended_text"])))
    lines += [_line("warning", warning) for warning in d["warnings"]] or [_line("warnings", "none")]
    return "\n".join(lines)


def _line(label: str, text: str) -> str:
    """Return one line of the description."""
    return f"  {label:<14}{text}"


def _storage(d: dict[str, Any]) -> str:
    """Describe what pages hold."""
    photons = d["photons"]
    if not photons:
        return str(d["dtype"])
    kinds = ("raw", "compressed", "plain")
    return "photons: " + ", ".join(f"{photons[f'n_{kind}_pages']} {kind}" for kind in kinds)


def _start(d: dict[str, Any]) -> str:
    """Describe when the clock started."""
    if not d["epoch"]:
        return "unknown"
    has_zone = datetime.fromisoformat(d["epoch"]).tzinfo is not None
    return d["epoch"] + (" (UTC)" if has_zone else " (time zone not in the file)")


def _delay_bins(photons: dict[str, Any]) -> str:
    """Describe how photons are timed."""
    bins, width_s, rate_hz = (photons[name] for name in ("num_bins", "tcspc_resolution_s", "repetition_rate_hz"))
    text = f"{bins or 'unknown number'} of {f'{width_s * 1e12:g} ps' if width_s else 'unknown width'}"
    return text + (f"; laser {rate_hz / 1e6:g} MHz, period {1e9 / rate_hz:.6g} ns" if rate_hz else "; laser unknown")


def _appended_text(events: list[dict[str, Any]]) -> str:
    """Describe what the experimenter's software wrote into the file."""
    if not events:
        return "none"
    shown = ", ".join(
        f"{event['text']!r} at " + (f"page {event['page']}" if event["time_s"] is None else f"{event['time_s']:g} s")
        for event in events[:_MOST_EVENTS]
    )
    return f"{len(events)}: {shown}" + (" …" if len(events) > _MOST_EVENTS else "")


def _planes(d: dict[str, Any]) -> str:
    """Describe planes, flyback and slices."""
    text = str(d["n_planes"])
    if d["n_planes"] > 1:
        text += f" + {d['n_flyback']} flyback, {d['frames_per_slice']} frame(s) a slice"
        text += ", slow stack" if d["slow_stack"] else ""
    if d["averaging"] > 1:
        text += f", {d['averaging']} frames averaged into each page"
    if d["z_um"]:
        text += f"; z = {', '.join(f'{z:g}' for z in d['z_um'][:12])}{' …' if len(d['z_um']) > 12 else ''} um"
    if d["n_scanfields"] > 1:
        text += f"; {d['n_scanfields']} scanfields on each page"
    return text


def _duration(d: dict[str, Any]) -> str:
    """Describe how long it took."""
    return "" if d["duration_s"] is None else f" in {d['duration_s']:.3f} s"


def _rate(d: dict[str, Any]) -> str:
    """Describe the rate by timestamps and by header."""
    header = "unknown" if d["header_rate_hz"] is None else f"{d['header_rate_hz']:.6g} Hz"
    if not d["has_timestamps"]:
        return f"{header} by the header; pages have no timestamps"
    if d["timestamp_rate_hz"] is None:
        return f"{header} by the header; {d['n_samples']} sample(s) are too few to tell by timestamps"
    kind = "regular within 1 us" if d["regular"] else "irregular: median step"
    return f"{d['timestamp_rate_hz']:.6g} Hz by timestamps ({kind}); header: {header}"


def _pixel_size(d: dict[str, Any]) -> str:
    """Describe the size of pixels and field."""
    if d["pixel_size_um"] is None:
        return "unknown"
    (x, y), (width, height) = d["pixel_size_um"], d["field_of_view_um"]
    return f"{x:.4g} x {y:.4g} um; field of view {width:.5g} x {height:.5g} um"


def _gaps(gaps: list[dict[str, Any]]) -> str:
    """Describe the gaps."""
    if not gaps:
        return "none"
    shown = ", ".join(f"{gap['length_s']:.4g} s after sample {gap['after_sample']}" for gap in gaps[:_MOST_GAPS])
    return f"{len(gaps)}: {shown}" + (" …" if len(gaps) > _MOST_GAPS else "")
