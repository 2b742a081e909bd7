"""Read the header that all pages of a ScanImage file share, and its ROI JSON.

Header text comes in five dresses, which `ScanImageHeader` makes alike::

    SI.hChannels.channelSave = [1;2]            2015 to today; 2015 also as scanimage.SI.hChannels.channelSave
    {"SI": {"hChannels": {"channelSave": 1}}}   the same as JSON, with the same keys here
    scanimage.SI5.channelsSave = [1;2]          5.0, below the page's own "Frame Number = 1" lines
    scanimage.SI4.channelsSave = [1;2]          4.x, likewise
    state.acq.savingChannel1=1                  3.8, lines end in CR

What the header says about the order of the pages is taken from it by `scanimage_layout`, what it says about space
by `scanimage_fields`; the text of each page is read by `scanimage_page_text`. Values that span lines are not
supported: a line that starts with no key is skipped.
"""

import json
import math
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from scanimage_nwb.errors import FormatError, HeaderFieldError, ScanImageNwbWarning
from scanimage_nwb.formats.matlab_literal import MatlabValue, as_list, parse_matlab_literal
from scanimage_nwb.formats.scanimage_page_text import (
    PageText,
    epoch_to_datetime,
    header_field_error,
    parse_page_text,
)

__all__ = ["PageText", "ScanImageHeader", "epoch_to_datetime", "parse_page_text"]

_LINE: Final = re.compile(
    r"(?:\A|[\r\n])[ \t]*+(?:scanimage\.(?=SI\.))?((?:SI|scanimage\.SI[45]|state)\.[^\s=]++)[ \t]*+=([^\r\n]*+)"
)
_GENERATIONS: Final = {"SI.": "SI", "scanimage.SI5.": "SI5", "scanimage.SI4.": "SI4", "state.": "3.8"}
_JSON_NUMBERS: Final = {"_NaN_": math.nan, "_Inf_": math.inf, "-_Inf_": -math.inf}


@dataclass(frozen=True)
class ScanImageHeader:
    r"""The header of one ScanImage file, parsed only where asked.

    Make one with `from_text`. Keys are indexed in one pass on first use, values are parsed when asked for and kept.
    Pickles carry the text alone. Where a key comes twice, the last line counts.

    Examples
    --------
    >>> header = ScanImageHeader.from_text("SI.VERSION_MAJOR = 2021\nSI.hChannels.channelSave = [1;2]", source="a.tif")
    >>> header.generation, header.raw("SI.hChannels.channelSave"), header.get("SI.hChannels.channelSave")
    ('SI', '[1;2]', [[1], [2]])
    """

    text: str = field(repr=False)
    """Header text as it stands in the file, without NUL."""
    roi_text: str = field(repr=False)
    """Text of the ROI JSON, without NUL; empty if the file has none."""
    source: str
    """Name of the file, for messages."""

    @classmethod
    def from_text(cls, text: str, roi_text: str = "", *, source: str) -> "ScanImageHeader":
        """Return the header for a file's texts.

        Parameters
        ----------
        text : str
            Header text: the frame-data blob, the Software tag or, up to ScanImage 5.0, a page's ImageDescription.
        roi_text : str
            ROI JSON: the second blob or the Artist tag.
        source : str
            Name of the file, for messages.
        """
        return cls(text.replace("\0", ""), roi_text.replace("\0", ""), source)

    def __reduce__(self) -> tuple[type["ScanImageHeader"], tuple[str, str, str]]:
        """Leave the caches behind when pickled."""
        return type(self), (self.text, self.roi_text, self.source)

    def __contains__(self, key: object) -> bool:
        """Tell whether the header has a line for `key`."""
        return key in self._index

    def keys(self) -> tuple[str, ...]:
        """Return all keys in the order of the text, for example ``"SI.hFastZ.enable"``."""
        return tuple(self._index)

    def raw(self, key: str, default: str | None = None) -> str | None:
        """Return the text of a value, stripped of white space; of a JSON value, its JSON text."""
        if key not in self._index:
            return default
        value = self._index[key]
        if isinstance(value, slice):
            return self.text[value].strip()
        return value if isinstance(value, str) else json.dumps(value)

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of `key` as `parse_matlab_literal` reads it; JSON null becomes ``[]``."""
        if key not in self._index:
            return default
        if key not in self._parsed:
            value = self._index[key]
            self._parsed[key] = (
                parse_matlab_literal(self.text[value]) if isinstance(value, slice) else _from_json(value)
            )
        return self._parsed[key]

    def as_dict(self) -> dict[str, MatlabValue]:
        """Return all values parsed, by key."""
        return {key: self.get(key) for key in self._index}

    def number(self, key: str) -> float | None:
        """Return a value that must be one real number, None if missing or ``[]``; else `HeaderFieldError`."""
        values = self.numbers(key)
        if len(values) > 1:
            raise self.error(key, "one number")
        return values[0] if values else None

    def numbers(self, key: str) -> list[float]:
        """Return a value that must be a vector of real numbers; of a matrix, its first column.

        Returns
        -------
        list of float or int
            Empty if the key is missing or its value is ``[]`` or empty.

        Raises
        ------
        HeaderFieldError
            If an element is NaN or no number. Inf passes.
        """
        value = self.get(key, "")
        items = [row[0] if isinstance(row, list) and row else row for row in as_list(value)] if value != "" else []
        for item in items:
            is_sane_int = isinstance(item, int) and abs(item) < 2**63
            if not is_sane_int and (not isinstance(item, float) or math.isnan(item)):
                raise self.error(key, "numbers")
        return items

    def count(self, key: str, *, minimum: int = 0) -> int | None:
        """Return a value that must be a whole number >= `minimum`, None if missing; else `HeaderFieldError`."""
        number = self.number(key)
        if number is None:
            return None
        if not minimum <= number < 2**63 or number != int(number):
            raise self.error(key, f"a whole number >= {minimum}")
        return int(number)

    def positive(self, key: str) -> float | None:
        """Return a rate, period or scale; None if missing or of no use (NaN, Inf, <= 0); else `HeaderFieldError`."""
        value = self.get(key)
        if isinstance(value, int | float) and not 0 < value < math.inf:
            return None
        return self.number(key)

    def flag(self, key: str) -> bool | None:
        """Return a value that must be true, false or a number, None if missing; else `HeaderFieldError`."""
        number = self.number(key)
        return None if number is None else bool(number)

    def error(self, key: str, expected: str) -> HeaderFieldError:
        """Return the error to raise for a value that is not what was `expected`."""
        return header_field_error(self.source, key, self.raw(key), expected)

    @cached_property
    def generation(self) -> str:
        """Family of keys: "SI" (2015 and later), "SI5", "SI4", "3.8", or "" if there are no ScanImage keys."""
        for prefix, name in _GENERATIONS.items():
            if any(key.startswith(prefix) for key in self._index):
                return name
        return ""

    @property
    def version(self) -> str:
        """ScanImage version such as "2021.0.0", "2016b.1", "5.0" or "3.8"; "" if the header does not say."""
        if self.generation == "3.8":
            return self.raw("state.software.version", "") or ""
        prefix = "SI." if self.generation == "SI" else f"scanimage.{self.generation}."
        parts = [self.get(f"{prefix}VERSION_{name}") for name in ("MAJOR", "MINOR", "UPDATE")]
        return ".".join(str(part) for part in parts if part is not None and part != [])

    @cached_property
    def roi_groups(self) -> dict[str, Any] | None:
        """Object under "RoiGroups" of the ROI JSON, None if there is none.

        Malformed JSON warns once, with the file's name, and counts as none.
        """
        if not self.roi_text.strip():
            return None
        try:
            found = json.loads(self.roi_text)
        except (ValueError, RecursionError) as error:
            warnings.warn(
                f"{self.source}: the ROI JSON cannot be read ({error}); the recording is read without its ROIs",
                ScanImageNwbWarning,
                stacklevel=2,
            )
            return None
        groups = found.get("RoiGroups") if isinstance(found, dict) else None
        return groups if isinstance(groups, dict) else None

    @cached_property
    def _index(self) -> dict[str, Any]:
        """Where each value lies in the text (a slice), or what it is (a JSON value)."""
        if self.text.lstrip()[:1] != "{":
            return {match[1]: slice(*match.span(2)) for match in _LINE.finditer(self.text)}
        try:
            found = json.loads(self.text, object_hook=_unwrap_array)
        except (ValueError, RecursionError) as error:
            raise FormatError(f"{self.source}: the header starts like JSON but cannot be read: {error}") from error
        return {key: value for key, value in _flatten(found) if key.startswith(tuple(_GENERATIONS))}

    @cached_property
    def _parsed(self) -> dict[str, MatlabValue]:
        """Values parsed so far."""
        return {}


def _unwrap_array(found: dict[str, Any]) -> Any:
    """Return the data of an array that MATLAB wrote as an object, for example an empty one."""
    return (found.get("_ArrayData_") or []) if "_ArrayType_" in found else found


def _flatten(found: Any) -> Iterator[tuple[str, Any]]:
    """Yield the leaves of nested JSON objects under dotted keys."""
    open_objects = [("", found)]
    while open_objects:
        prefix, value = open_objects.pop()
        if isinstance(value, dict) and value:
            open_objects.extend((f"{prefix}.{key}" if prefix else key, value[key]) for key in reversed(value))
        else:
            yield prefix.removeprefix("scanimage.") if prefix.startswith("scanimage.SI.") else prefix, value


def _from_json(value: Any) -> MatlabValue:
    """Return a JSON leaf as the MATLAB literal would have been read."""
    if value is None or value == {}:
        return []
    if isinstance(value, str):
        return _JSON_NUMBERS.get(value, value)
    parsed: MatlabValue = value
    return parsed
