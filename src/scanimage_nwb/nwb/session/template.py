"""Write a session file for a folder: what was found, what the files say, and blanks for what only people know."""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from scanimage_nwb import __version__
from scanimage_nwb.nwb.metadata import registry_key
from scanimage_nwb.nwb.session.finding import MOST_FILES_LISTED
from scanimage_nwb.nwb.session.looking import FoundRecording, Look, look_at
from scanimage_nwb.nwb.session.products import FoundProduct
from scanimage_nwb.nwb.session.reading import METADATA_FILE_NAME, SESSION_FILE_NAME, field_description
from scanimage_nwb.nwb.session.yaml_places import BLANK
from scanimage_nwb.nwb.user_metadata import EVERY_ENTRY, load_metadata_file
from scanimage_nwb.whole_file import whole_or_nothing

__all__ = ["write_session_file"]

_MARK = re.compile(r"\A# Session file of scanimage-nwb (\S+), as written: ([0-9a-f]{16})\n")
_BLANKS: Mapping[str, Any] = {
    "NWBFile": dict.fromkeys(
        ("session_id", "experimenter", "institution", "lab", "experiment_description", "keywords"), BLANK
    ),
    "Subject": dict.fromkeys(("subject_id", "species", "sex", "age", "description"), BLANK),
}
_COMMENT_AT = 44


def write_session_file(
    folder: str | Path,
    *,
    timezone: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> Path:
    """Look at a folder and write its ``session.yaml``.

    Parameters
    ----------
    folder : path-like
        Holds recordings, and what was made of them.
    timezone : str, optional
        Time zone of the computer that recorded.
    metadata : mapping, optional
        What is known already, such as what all sessions of a lab have in common; it is written down.
    overwrite : bool
        Replace a session file that was changed since it was written.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    FileExistsError
        If somebody has changed the one that is there.
    FileNotFoundError
        If the folder holds no recording.

    Examples
    --------
    >>> from scanimage_nwb.testing import write_scanimage_recording
    >>> _ = write_scanimage_recording(folder)
    >>> print(write_session_file(folder).read_text().splitlines()[-2])
            location: ???                         # brain area, such as Primary visual area
    """
    folder = Path(folder).expanduser().absolute()
    path = folder / SESSION_FILE_NAME
    if path.exists() and not overwrite and _was_edited(path):
        raise FileExistsError(f"{path} is there already, with changes; keep them, or replace it with --overwrite")
    beside = folder / METADATA_FILE_NAME
    look = look_at(folder)
    said = load_metadata_file(beside) if beside.is_file() else {}
    body = "\n".join(_lines(look, timezone, metadata or {}, said)) + "\n"
    mark = f"# Session file of scanimage-nwb {__version__}, as written: {_digest(body)}\n"
    with whole_or_nothing(path, overwrite=True) as partial:
        partial.write_text(mark + body, encoding="utf-8")
    return path


def _was_edited(path: Path) -> bool:
    """Tell whether a session file is another than the one that was written."""
    text = path.read_text(encoding="utf-8", errors="replace")
    mark = _MARK.match(text)
    return mark is None or _digest(text[mark.end() :]) != mark[2]


def _digest(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()[:16]


def _lines(look: Look, timezone: str | None, given: Mapping[str, Any], said: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of a session file."""
    yield f"# Replace every {BLANK}, or delete its line to leave it out; then: scanimage-nwb convert {look.folder.name}"
    yield "# Paths start at the folder of this file."
    for path, reason in look.left_out:
        yield f"# {path.name} is left out: {_one_line(reason.removeprefix(f'{path} '))}"
    yield ""
    if timezone is not None:
        yield _with_comment(f"timezone: {_scalar(timezone)}", "of the computer that recorded")
    elif any(found.recording.epoch is not None and found.recording.epoch.tzinfo is None for found in look.recordings):
        yield _with_comment(f"timezone: {BLANK}", field_description(("timezone",)))
    yield _with_comment("# output: session.nwb", "by default sub-<subject_id>/sub-<subject_id>_ses-<session_id>_...")
    yield ""
    yield "recordings:"
    for found in look.recordings:
        yield from _recording_lines(found)
    yield from _flim_lines(look)
    yield from _registration_lines(look)
    yield from _masks_lines(look)
    yield from _sync_lines(look)
    yield ""
    yield from _metadata_lines(look, given, said)


def _recording_lines(found: FoundRecording) -> Iterator[str]:
    """Yield the entry of a recording, and what its files say as comments."""
    yield f"  - name: {found.name}"
    names = [path.name for path in found.recording.paths]
    listed = names if len(names) <= MOST_FILES_LISTED else names[:1]
    rest = f"  # and {len(names) - 1} more, found beside it" if listed != names else ""
    yield f"    files:{rest}"
    yield from (f"      - {_scalar(name)}" for name in listed)
    yield f"    kind: {'siff' if found.is_siff else 'tiff'}"
    yield from (f"    #{line[1:]}" for line in found.facts.splitlines()[1:])
    channels = ", ".join(_scalar(name) for name in found.recording.channel_names)
    yield _with_comment(f"    # channels: [{channels}]", "to write some of them only")
    if found.recording.n_planes > 1:
        yield _with_comment("    # plane: 0", "to write one plane only")
    if found.recording.frames_per_slice > 1:
        yield _with_comment("    # slice_sample: 0", "to write one of the frames of each slice only")
    if found.recording.epoch is None:
        yield _with_comment(f"    start: {BLANK}", "when it began, such as 2025-04-24T16:43:57+02:00")


def _flim_lines(look: Look) -> Iterator[str]:
    """Yield what is written of photons: all of them, so that nothing is lost."""
    siffs = [found for found in look.recordings if found.is_siff]
    if siffs:
        yield ""
        yield "flim:  # beside the counts of photons"
    for found in siffs:
        yield f"  - recording: {found.name}"
        yield _with_comment("    photons: true", "every photon: pixel and delay")
        yield _with_comment("    # histograms: field", field_description(("flim", 0, "histograms")))
        yield _with_comment("    # lifetime: true", "mean delay of every pixel")
        yield _with_comment("    # phasor: true", "phasor of every pixel")
        yield _with_comment("    # fit: 2", "exponentials fitted to the decay of the field")


def _registration_lines(look: Look) -> Iterator[str]:
    """Yield the files of shifts; as comments those that are given to no recording."""
    yield ""
    if not look.shifts:
        yield "# registration:"
        yield f"#   - recording: {look.recordings[0].name}"
        yield _with_comment("#     register: true", "finds the motion while converting")
        return
    yield from _product_lines("registration", look.shifts)


def _masks_lines(look: Look) -> Iterator[str]:
    """Yield the files of masks; as comments those that are given to no recording."""
    if look.masks:
        yield ""
        yield from _product_lines("rois", look.masks)


def _product_lines(section: str, products: Sequence[FoundProduct]) -> Iterator[str]:
    """Yield a section of files beside the recordings; one for each recording, the others as comments."""
    chosen = {one.recording: one for one in reversed(products) if one.recording is not None}
    kept = [one for one in products if one in chosen.values()]
    yield f"{section}:" if kept else f"# {section}:"
    for one in kept:
        yield f"  - recording: {one.recording}"
        yield _with_comment(f"    file: {_scalar(one.path.name)}", one.what)
        if one.needs_plane:
            yield _with_comment(f"    plane: {BLANK}", field_description((section, 0, "plane")))
    for one in products:
        if one not in kept:
            reason = one.reason or f"another is taken for {one.recording}"
            yield _with_comment(f"#   - recording: {one.recording or BLANK}", f"{one.what}; {reason}")
            yield f"#     file: {_scalar(one.path.name)}"


def _sync_lines(look: Look) -> Iterator[str]:
    """Yield the pulses that fit a recording, and as comments those that may."""
    fitting: set[str] = set()
    chosen = []
    for pulses in look.pulses:
        if pulses.recording is not None and pulses.recording not in fitting:
            fitting.add(pulses.recording)
            chosen.append(pulses)
    yield ""
    if chosen:
        yield "sync:"
    for pulses in chosen:
        yield _with_comment(f"  - recording: {pulses.recording}", pulses.report)
        yield f"    file: {_scalar(pulses.path.name)}"
        if pulses.column is not None:
            yield f"    name: {_scalar(pulses.column)}"
        yield _with_comment(f"    fires_per: {pulses.fires_per}", "fits; page, frame, plane or volume")
    for pulses in look.pulses:
        if pulses not in chosen:
            column = f", {pulses.column}" if pulses.column is not None else ""
            yield f"# {pulses.path.name}{column}: {pulses.n_pulses} times; {pulses.report or 'they fit no recording'}"


def _metadata_lines(look: Look, given: Mapping[str, Any], said: Mapping[str, Any]) -> Iterator[str]:
    """Yield the metadata: what is known already, and blanks."""
    if said:
        yield f"# {METADATA_FILE_NAME} in this folder counts too; what is said here goes on top of it."
    yield "metadata:"
    blanks: dict[str, Any] = {section: dict(fields) for section, fields in _BLANKS.items()}
    blanks["Ophys"] = {"ImagingPlanes": _plane_blanks(look)}
    yield from _mapping_lines(_layered(_less(blanks, said), given), ("metadata",))


def _plane_blanks(look: Look) -> dict[str, Any]:
    """Return what is asked for of the channels: an indicator and a wavelength each."""
    of_channels: dict[str, Any] = {}
    kinds = [found.is_siff for found in look.recordings]
    for found in look.recordings:
        for channel in found.recording.channel_names:
            key = registry_key(found.recording, channel, None)
            key = key if kinds.count(found.is_siff) == 1 else f"{found.name}_{key}"
            of_channels[key] = {
                "indicator": BLANK,
                "optical_channel": [
                    {
                        "name": re.sub(r"[/:]", "_", channel),
                        "description": f"Detector channel {channel!r} of ScanImage",
                        "emission_lambda": BLANK,
                    }
                ],
            }
    return of_channels | {EVERY_ENTRY: {"location": BLANK, "excitation_lambda": BLANK}}


def _less(blanks: Mapping[str, Any], said: Mapping[str, Any]) -> dict[str, Any]:
    """Return blanks without those that are answered already."""
    left: dict[str, Any] = {}
    for key, value in blanks.items():
        if isinstance(value, Mapping):
            answers = said.get(key, {})
            for_all = said.get(EVERY_ENTRY, {})
            answers = {**(for_all if isinstance(for_all, Mapping) else {}), **answers}
            value = _less(value, answers)  # noqa: PLW2901
            if value:
                left[key] = value
        elif key not in said:
            left[key] = value
    return left


def _layered(blanks: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return blanks with what is given in their place."""
    merged = dict(_less(blanks, given))
    for key, value in given.items():
        old = merged.get(key)
        if isinstance(value, Mapping):
            merged[key] = _layered(old, value) if isinstance(old, Mapping) else dict(value)
        else:
            merged[key] = value
    return merged


def _mapping_lines(mapping: Mapping[str, Any], place: tuple[str | int, ...]) -> Iterator[str]:
    """Yield the lines of a mapping in the metadata; blanks say what is allowed."""
    indent = "  " * len(place)
    for key, value in mapping.items():
        here = (*place, key)
        if isinstance(value, Mapping) and value:
            yield f"{indent}{_scalar(key)}:"
            yield from _mapping_lines(value, here)
        elif isinstance(value, list) and value and all(isinstance(item, Mapping) for item in value):
            yield f"{indent}{_scalar(key)}:"
            for rank, item in enumerate(value):
                first, *rest = _mapping_lines(item, (*here, rank))
                yield f"{indent}  - {first.lstrip()}"
                yield from rest
        else:
            yield _with_comment(
                f"{indent}{_scalar(key)}: {_scalar(value)}", field_description(here) if value == BLANK else ""
            )


def _with_comment(text: str, comment: str) -> str:
    """Return a line with a comment behind it."""
    return f"{text:{_COMMENT_AT}}  # {_one_line(comment)}" if comment else text


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _scalar(value: Any) -> str:
    """Return a value as YAML writes it on one line."""
    if value == BLANK:
        return BLANK
    text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10_000)
    return text.removesuffix("\n").removesuffix("\n...").rstrip("\n")
