"""Read a session file, and say of everything wrong in it where it is and what is allowed there."""

import difflib
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from scanimage_nwb.errors import SessionFileError
from scanimage_nwb.nwb.session.schema import SessionFile
from scanimage_nwb.nwb.session.yaml_places import BLANK, Place, PlacedYaml
from scanimage_nwb.nwb.user_metadata import load_metadata_file

__all__ = [
    "METADATA_FILE_NAME",
    "SESSION_FILE_NAME",
    "Session",
    "field_description",
    "is_siff",
    "place_name",
    "read_session_file",
    "session_of",
]

SESSION_FILE_NAME = "session.yaml"
METADATA_FILE_NAME = "metadata.yaml"
_SECTIONS_OF_A_RECORDING = ("flim", "registration", "rois", "sync")
_QUOTES = "; put it in quotes"


@dataclass(frozen=True, slots=True)
class Session:
    """What is to become one NWB file."""

    folder: Path
    """Where the paths of the file start."""
    file: SessionFile
    """What it says."""
    metadata_layers: tuple[Mapping[str, Any], ...]
    """What `metadata.yaml` beside it says, if it is there, and what it says itself, as `merge_metadata` takes it."""

    def path(self, name: str) -> Path:
        """Return the path of a file that the session names."""
        return self.folder / Path(name).expanduser()

    def recording_of(self, entry: Any) -> str:
        """Return the name of the recording that an entry of a section is for."""
        return entry.recording or _candidates(self.file, entry)[0]


def read_session_file(path: str | Path, *, leave_blanks_out: bool = False) -> Session:
    """Read and check a session file.

    Parameters
    ----------
    path : path-like
        The file, or the folder that holds ``session.yaml``.
    leave_blanks_out : bool
        Read blanks (``???``) as if they were not there; otherwise they are asked for.

    Returns
    -------
    Session

    Raises
    ------
    FileNotFoundError
        If it is not there.
    SessionFileError
        Names the line of everything that is wrong, what is allowed there, and the nearest key.

    Examples
    --------
    >>> _ = (folder / "session.yaml").write_text("recording: {name: run1, files: a.tif}")
    >>> read_session_file(folder)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    scanimage_nwb.errors.SessionFileError: .../session.yaml, line 1: recording is no key here; did you mean recordings?
    ...
    """
    path = Path(path).expanduser().absolute()
    path = path / SESSION_FILE_NAME if path.is_dir() else path
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there; write one with `scanimage-nwb init {path.parent}`")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise SessionFileError([f"{path} is no text in UTF-8: {error}"]) from error
    return _check(PlacedYaml(text, path), leave_blanks_out)


def session_of(text: str, folder: Path) -> Session:
    """Return the session that a text describes which was made, not written by hand; its blanks are left out.

    Parameters
    ----------
    text : str
        As in a session file.
    folder : Path
        Where its paths start.

    Returns
    -------
    Session
    """
    return _check(PlacedYaml(text, folder / SESSION_FILE_NAME), leave_blanks_out=True)


def _check(document: PlacedYaml, leave_blanks_out: bool) -> Session:
    """Return what a document says, or refuse it with all that is wrong."""
    problems: list[tuple[int, str]] = []
    file: SessionFile | None = None
    blank = set() if leave_blanks_out else set(document.blanks)
    try:
        file = SessionFile.model_validate(document.data)
    except ValidationError as error:
        for one in error.errors():
            place = _without_tags(one["loc"])
            if place not in document.blanks or (leave_blanks_out and one["type"] == "missing"):
                blank.discard(place)
                problems.append((document.line(place), _say(place, one)))
    problems += [(document.line(place), _ask(place)) for place in blank]
    folder = document.source.parent
    if file is not None:
        problems += [(document.line(place), text) for place, text in _cross_check(file, folder)]
    if problems or file is None:
        raise SessionFileError([f"{document.source}, line {line}: {text}" for line, text in sorted(problems)])
    beside = folder / METADATA_FILE_NAME
    layers = (load_metadata_file(beside),) if beside.is_file() else ()
    return Session(folder, file, (*layers, document.data.get("metadata", {})))


def _without_tags(location: tuple[str | int, ...]) -> Place:
    """Return where an error is, without what pydantic adds of the kinds that it tried."""
    tags = ("datetime", "date", "function-", "constrained-", "list[")
    return tuple(part for part in location if isinstance(part, int) or not part.startswith(tags))


def _ask(place: Place) -> str:
    """Ask for what a blank stands for."""
    description = field_description(place)
    expected = f" with {description}" if description else ""
    return f"{place_name(place)} is still {BLANK}; replace it{expected}, or delete the line to leave it out"


def _say(place: Place, error: Any) -> str:
    """Put an error of pydantic into words."""
    name, value = place_name(place), error["input"]
    if error["type"] == "extra_forbidden":
        known = _known_keys(place[:-1])
        near = difflib.get_close_matches(str(place[-1]), known, n=1)
        return f"{name} is no key here; " + (f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}")
    field = _field(place)
    expected = field.description if field is not None and field.description else error["msg"]
    if error["type"] == "missing":
        return f"{name} is missing; expected {expected}"
    is_word = isinstance(value, str | int | float | bool) or value is None
    found = repr(value) if is_word else f"a {'list' if isinstance(value, list) else 'mapping'}"
    way_out = _QUOTES if error["type"] == "string_type" and is_word else ""
    near = difflib.get_close_matches(str(value), _choices(field), n=1) if is_word else []
    return f"{name} is {found}; expected {expected}{way_out}" + (f"; did you mean {near[0]}?" if near else "")


def place_name(place: Place) -> str:
    """Return a place of a session file as people write it, its entries counted from 1.

    Parameters
    ----------
    place : tuple of str and int
        Keys and ranks from the top.

    Returns
    -------
    str

    Examples
    --------
    >>> place_name(("recordings", 0, "files"))
    'recordings 1.files'
    """
    text = ""
    for part in place:
        text += f" {part + 1}" if isinstance(part, int) else f"{'.' if text else ''}{part}"
    return text or "the file"


def field_description(place: Place) -> str:
    """Return what is allowed at a place of a session file.

    Parameters
    ----------
    place : tuple of str and int
        Keys and ranks from the top.

    Returns
    -------
    str
        Empty if nothing is said of it.
    """
    field = _field(place)
    return field.description or "" if field is not None else ""


def _choices(field: FieldInfo | None) -> list[str]:
    """Return the words that a field may be."""
    return [str(word) for word in _words(field.annotation)] if field is not None else []


def _words(annotation: Any) -> Iterator[Any]:
    """Yield the values of every Literal in an annotation."""
    for part in get_args(annotation):
        if isinstance(part, str) and "Literal" in str(annotation):
            yield part
        else:
            yield from _words(part)


def _field(place: Place) -> FieldInfo | None:
    """Return the field at a place, None if there is none."""
    if not place:
        return None
    *outer, last = place
    if isinstance(last, int):
        return _field(tuple(outer))
    model = _type_at(tuple(outer))
    return _fields(model).get(last) if isinstance(model, type) and issubclass(model, BaseModel) else None


def _known_keys(place: Place) -> list[str]:
    """Return the keys that the mapping at a place may have."""
    model = _type_at(place)
    return list(_fields(model)) if isinstance(model, type) and issubclass(model, BaseModel) else []


def _fields(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """Return the fields of a mapping by their keys in the file."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _type_at(place: Place) -> Any:
    """Return what the schema says that the value at a place is."""
    found: Any = SessionFile
    for part in place:
        found = _plain_type(found)
        if isinstance(found, type) and issubclass(found, BaseModel):
            field = _fields(found).get(str(part))
            found = None if field is None else field.annotation
        elif get_origin(found) is list:
            found = get_args(found)[0] if isinstance(part, int) else None
        elif get_origin(found) is dict:
            found = get_args(found)[1]
        else:
            return None
    return _plain_type(found)


def _plain_type(annotation: Any) -> Any:
    """Return a type without "or None" and without annotations."""
    while get_origin(annotation) in (Annotated, Union, types.UnionType):
        annotation = next(part for part in get_args(annotation) if part is not types.NoneType)
    return annotation


def _cross_check(file: SessionFile, folder: Path) -> Iterator[tuple[Place, str]]:
    """Check what concerns several places, and that files are there."""
    names = [entry.name for entry in file.recordings]
    for rank, entry in enumerate(file.recordings):
        if entry.name.lower() in [name.lower() for name in names[:rank]]:
            yield ("recordings", rank, "name"), f"{entry.name} is the name of another recording too"
        for number, name in enumerate(entry.files):
            yield from _check_is_there(folder, name, ("recordings", rank, "files", number))
    for section in _SECTIONS_OF_A_RECORDING:
        for rank, entry in enumerate(getattr(file, section)):
            place: Place = (section, rank)
            fitting = _candidates(file, entry)
            if entry.recording is None and len(fitting) != 1:
                choice = ", ".join(fitting) or "none that fits"
                yield place, f"{section} does not say of which recording; give recording, one of: {choice}"
            elif entry.recording is not None and entry.recording not in fitting:
                near = difflib.get_close_matches(entry.recording, fitting, n=1)
                hint = f"did you mean {near[0]}?" if near else f"expected one of: {', '.join(fitting) or 'none fits'}"
                yield (*place, "recording"), f"{section}.recording {entry.recording} is no recording it can be; {hint}"
            if getattr(entry, "file", None) is not None:
                yield from _check_is_there(folder, entry.file, (*place, "file"))
    for rank, motion in enumerate(file.registration):
        if (motion.file is None) == (not motion.find):
            yield ("registration", rank), "registration needs either file or register: true, and not both"
    for section in _SECTIONS_OF_A_RECORDING:
        of = [entry.recording or "" for entry in getattr(file, section)]
        for rank, name in enumerate(of):
            if name in of[:rank] and section != "flim":
                yield (section, rank), f"{section} has two entries for one recording; leave one"
    moved = {entry.recording or _candidates(file, entry)[:1] for entry in file.registration if entry.recording} | {
        name for entry in file.registration for name in _candidates(file, entry) if entry.recording is None
    }
    for section in ("flim", "rois"):
        for rank, entry in enumerate(getattr(file, section)):
            of_this = entry.recording or next(iter(_candidates(file, entry)), None)
            if entry.motion_corrected and of_this not in moved:
                text = f"motion_corrected is true, but {of_this} has no registration"
                yield (section, rank, "motion_corrected"), text


def _candidates(file: SessionFile, entry: Any) -> list[str]:
    """Return the names of the recordings that an entry can be for."""
    if type(entry).__name__ == "FlimEntry":
        return [one.name for one in file.recordings if is_siff(one)]
    return [one.name for one in file.recordings]


def is_siff(entry: Any) -> bool:
    """Tell whether a recording is of .siff files, by what is said of it.

    Parameters
    ----------
    entry : RecordingEntry
        Its entry.

    Returns
    -------
    bool
    """
    return bool(entry.kind == "siff" or (entry.kind is None and entry.files[0].lower().endswith(".siff")))


def _check_is_there(folder: Path, name: str, place: Place) -> Iterator[tuple[Place, str]]:
    """Refuse a file that is not there; name the nearest that is."""
    path = folder / Path(name).expanduser()
    if path.exists():
        return
    beside = sorted(one.name for one in path.parent.iterdir()) if path.parent.is_dir() else []
    near = difflib.get_close_matches(path.name, beside, n=1)
    yield place, f"{name} is not there" + (f"; did you mean {near[0]}?" if near else f" (looked in {path.parent})")
