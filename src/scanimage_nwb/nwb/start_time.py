"""When a session started: the files' clock, and the time zone that they do not say."""

import difflib
import warnings
import zoneinfo
from datetime import date, datetime

from scanimage_nwb.errors import MetadataError, ScanImageNwbWarning
from scanimage_nwb.recording import Recording

__all__ = ["EXPECTED_START_TIME", "session_start_time", "with_timezone"]

EXPECTED_START_TIME = "give NWBFile: session_start_time: '2025-04-24T16:43:57+02:00' in the metadata"
"""What to do about a recording that does not say when it was made."""


def session_start_time(recording: Recording, timezone: str | None) -> datetime | None:
    """Return when the recording's clock started.

    Parameters
    ----------
    recording : Recording
        Its epoch is the local time of the computer that recorded; of a .siff it is in UTC.
    timezone : str or None
        That computer's time zone, such as ``"Europe/Berlin"``. None means this computer's, and says so once; of a
        .siff it means UTC, and is no guess.

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
    if recording.epoch.tzinfo is not None:
        return recording.epoch if timezone is None else recording.epoch.astimezone(_find_zone(timezone))
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


def with_timezone(value: datetime | date | str, timezone: str | None, *, where: str) -> datetime:
    """Return a time that the user gave, with a time zone.

    Parameters
    ----------
    value : datetime, date or str
        What YAML made of it; text in the form of ISO 8601.
    timezone : str or None
        Zone to take where `value` has none; None means this computer's.
    where : str
        Field that holds it, for the error.

    Returns
    -------
    datetime

    Raises
    ------
    MetadataError
        If `value` is no time, or there is no such time zone.

    Examples
    --------
    >>> with_timezone("2025-04-24T16:43:57", "UTC", where="start").isoformat()
    '2025-04-24T16:43:57+00:00'
    """
    try:
        given = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    except ValueError as error:
        raise MetadataError(
            f"metadata {where} is {value!r}; expected a time such as '2025-04-24T16:43:57+02:00'"
        ) from error
    if given.tzinfo is not None:
        return given
    return given.astimezone() if timezone is None else given.replace(tzinfo=_find_zone(timezone))


def _find_zone(timezone: str) -> zoneinfo.ZoneInfo:
    """Return a time zone by its name."""
    try:
        return zoneinfo.ZoneInfo(timezone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        near = difflib.get_close_matches(timezone, zoneinfo.available_timezones(), n=3)
        hint = f"; did you mean {' or '.join(near)}?" if near else ", such as 'Europe/Berlin' or 'UTC'"
        raise MetadataError(f"timezone {timezone!r} is not known; expected a name of the IANA list{hint}") from error
