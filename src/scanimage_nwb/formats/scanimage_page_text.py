"""Read the text of one page: when the frame was taken, and what happened during it.

ScanImage writes ``key = value`` lines into the ImageDescription of every page, before version 2015 as
``Frame Number = 5`` above the header, in .siff files with an epoch in nanoseconds.
"""

import math
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from scanimage_nwb.errors import FormatError, HeaderFieldError
from scanimage_nwb.formats.matlab_literal import MatlabValue, as_list, parse_matlab_literal

__all__ = ["PageText", "epoch_to_datetime", "header_field_error", "parse_page_text"]


def header_field_error(source: str, key: str, found: object, expected: str) -> HeaderFieldError:
    """Return the error for a value of a header or page text that cannot be used."""
    shown = str(found).strip()
    shown = shown if len(shown) <= 80 else f"{shown[:77]}..."
    return HeaderFieldError(
        f"{source}: {key} = {shown!r}, but expected {expected}; the text is damaged or of a version unknown to us"
    )


@dataclass(frozen=True, slots=True)
class PageText:
    """What the text of one page says. Whatever it does not say is None or empty."""

    frame_number: int | None = None
    """Number of the frame since the start of the recording, from 1; channels of one frame share it."""
    acquisition_number: int | None = None
    """Number of the acquisition, from 1; a slow stack counts one per slice."""
    frame_number_acquisition: int | None = None
    """Number of the frame in its acquisition, from 1."""
    timestamp_s: float | None = None
    """Start of the frame in seconds; of an averaged page, of the last frame that went into it."""
    acq_trigger_timestamp_s: float | None = None
    """Time of the acquisition trigger in seconds; -1 where there was none."""
    next_file_marker_timestamp_s: float | None = None
    """Time of the next-file trigger in seconds; -1 where there was none."""
    end_of_acquisition: bool | None = None
    """True on the last page of an acquisition."""
    end_of_acquisition_mode: int | None = None
    """The vendor's reason for the end."""
    dc_over_voltage: bool | None = None
    """True if the digitizer saw too high a voltage."""
    epoch: tuple[int | float, ...] | None = None
    """Year, month, day, hour, minute, second of time 0, in the rig's local time."""
    epoch_ns: int | None = None
    """Epoch of a .siff page: nanoseconds since 1970 (UTC) of this frame."""
    aux_triggers: tuple[tuple[float, ...], ...] = ((), (), (), ())
    """Times in seconds of the edges on auxiliary triggers 0 to 3."""
    i2c_data: tuple[tuple[float, bytes | str], ...] = ()
    """Time in seconds and content of each I2C packet. A list that cannot be read is kept as (NaN, its text)."""


_PAGE_KEYS: Final = {
    "frameNumbers": "frame_number",
    "Frame Number": "frame_number",
    "acquisitionNumbers": "acquisition_number",
    "frameNumberAcquisition": "frame_number_acquisition",
    "frameTimestamps_sec": "timestamp_s",
    "Frame Timestamp(s)": "timestamp_s",
    "acqTriggerTimestamps_sec": "acq_trigger_timestamp_s",
    "Acq Trigger Timestamp(s)": "acq_trigger_timestamp_s",
    "nextFileMarkerTimestamps_sec": "next_file_marker_timestamp_s",
    "Next File Marker Timestamp(s)": "next_file_marker_timestamp_s",
    "endOfAcquisition": "end_of_acquisition",
    "endOfAcquisitionMode": "end_of_acquisition_mode",
    "dcOverVoltage": "dc_over_voltage",
    "DC Overvoltage": "dc_over_voltage",
    "epoch": "epoch",
    "auxTrigger0": "aux_0",
    "auxTrigger1": "aux_1",
    "auxTrigger2": "aux_2",
    "auxTrigger3": "aux_3",
    "I2CData": "i2c_data",
}
_PAGE_LINE: Final = re.compile(
    rf"(?:\A|[\r\n])[ \t]*+({'|'.join(re.escape(key) for key in _PAGE_KEYS)})[ \t]*+=([^\r\n\0]*+)"
)
_PAGE_KINDS: Final = {
    "timestamp_s": float,
    "acq_trigger_timestamp_s": float,
    "next_file_marker_timestamp_s": float,
    "end_of_acquisition": bool,
    "dc_over_voltage": bool,
}


def parse_page_text(text: str, *, source: str = "page text") -> PageText:
    r"""Return what the text of one page says.

    Parameters
    ----------
    text : str
        ImageDescription of the page. Where a key comes twice the first line counts: later ones are appended text.
    source : str
        File and page, for messages.

    Raises
    ------
    HeaderFieldError
        If a value is not of its kind, for example a frame number that is no number.

    Examples
    --------
    >>> page = parse_page_text("frameNumbers = 3\nframeTimestamps_sec = 0.125\nauxTrigger0 = [0.5 1]")
    >>> page.frame_number, page.timestamp_s, page.aux_triggers[0]
    (3, 0.125, (0.5, 1.0))
    """
    fields: dict[str, Any] = {}
    aux: list[tuple[float, ...]] = [(), (), (), ()]
    seen: set[str] = set()
    for match in _PAGE_LINE.finditer(text):
        key, name, value = match[1], _PAGE_KEYS[match[1]], parse_matlab_literal(match[2])
        if name in seen:
            continue
        seen.add(name)
        if value in ([], ""):
            continue
        if name == "epoch":
            fields |= _parse_epoch(value, source)
        elif name.startswith("aux_"):
            aux[int(name[-1])] = tuple(float(_number(time_s, source, key)) for time_s in as_list(value))
        elif name == "i2c_data":
            fields[name] = _parse_i2c(value, match[2].strip())
        else:
            fields[name] = _PAGE_KINDS.get(name, int)(_number(value, source, key, whole=name not in _PAGE_KINDS))
    return PageText(**fields, aux_triggers=tuple(aux))


def epoch_to_datetime(epoch: tuple[int | float, ...]) -> datetime:
    """Return the epoch of a page as a date without time zone.

    Parameters
    ----------
    epoch : tuple
        Year, month, day, hour, minute, second; the second may have a fraction and may round up to 60.

    Raises
    ------
    FormatError
        If there is no such date.

    Examples
    --------
    >>> epoch_to_datetime((2023, 9, 22, 12, 51, 34.124)).isoformat()
    '2023-09-22T12:51:34.124000'
    """
    try:
        year, month, day, hour, minute, second = epoch
        start = datetime(int(year), int(month), int(day), int(hour), int(minute))
        return start + timedelta(microseconds=round(second * 1e6))
    except (ValueError, OverflowError) as error:
        raise FormatError(f"epoch {epoch} is no date; expected year, month, day, hour, minute, second") from error


def _number(value: MatlabValue, source: str, key: str, *, whole: bool = False) -> float:
    """Return a value that must be a number, and a whole one if asked."""
    if not isinstance(value, int | float) or (whole and not float(value).is_integer()):
        raise header_field_error(source, key, value, "a whole number" if whole else "a number")
    return value


def _parse_epoch(value: MatlabValue, source: str) -> dict[str, Any]:
    """Return the field that an epoch belongs to, by name."""
    if isinstance(value, int) and not isinstance(value, bool):
        return {"epoch_ns": value}
    parts = as_list(value)
    if len(parts) != 6:
        raise header_field_error(source, "epoch", value, "[year month day hour minute second] or whole nanoseconds")
    return {"epoch": tuple(_number(part, source, "epoch") for part in parts)}


def _parse_i2c(value: MatlabValue, raw: str) -> tuple[tuple[float, bytes | str], ...]:
    """Return the packets of ``{{12.8, [1,0,255]} {13.1, 'text'}}``."""
    packets: list[tuple[float, bytes | str]] = []
    for packet in value if isinstance(value, list) else [value]:
        match packet:
            case [int() | float() as time_s, str() as content]:
                packets.append((float(time_s), content))
            case [int() | float() as time_s, content] if all(
                isinstance(item, int) and 0 <= item <= 255 for item in as_list(content)
            ):
                packets.append((float(time_s), bytes(as_list(content))))
            case _:
                return ((math.nan, raw),)
    return tuple(packets)
