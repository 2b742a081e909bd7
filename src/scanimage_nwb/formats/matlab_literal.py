"""Read the MATLAB literals that ScanImage prints into its headers.

ScanImage writes ``key = value`` lines whose values look like the output of ``num2str`` and ``mat2str``. They are
text from a file, so nothing here ever evaluates them: one regular expression cuts tokens, one loop with an explicit
stack builds lists, and whatever is not a literal comes back as the text that it is. Time is linear in the text.

Not read as values, but returned as text: function handles, enumeration names, ``<nonscalar struct/object>``,
complex numbers, ranges, class-tagged arrays such as ``int16([1 2])``, and anything nested deeper than 64 brackets.
"""

import re
from typing import Any, Final, TypeAlias

__all__ = ["MatlabValue", "as_list", "parse_matlab_literal", "parse_matlab_vector"]

MatlabValue: TypeAlias = bool | int | float | str | list[Any]
"""What a literal can become. Lists hold values again; a matrix is a list of rows."""

MAX_DEPTH: Final = 64
"""More brackets than this inside each other are not a ScanImage value."""
MAX_DIGITS: Final = 300
"""Longer integers stay text: reading them takes quadratic time, and they no longer fit a float."""

_INTEGER: Final = re.compile(r"[+-]?[0-9]++")
_FLOAT: Final = re.compile(r"[+-]?(?:[0-9]++\.?[0-9]*+|\.[0-9]++)(?:[eE][+-]?[0-9]++)?|[+-]?(?:Inf|inf|NaN|nan)")
_EMPTY_SHAPE: Final = re.compile(r"(?:zeros|ones)\([\s0-9,]*+\)")
_WORDS: Final = {"true": True, "True": True, "false": False, "False": False}
_CLOSERS: Final = {"[": "]", "{": "}"}

_TOKEN: Final = re.compile(
    r"""
      (?P<gap>   [\s,]++ )
    | (?P<open>  [\[{] )
    | (?P<close> [\]}] )
    | (?P<row>   ; )
    | (?: (?P<string> '[^']*+(?:''[^']*+)*+' | "[^"]*+(?:""[^"]*+)*+" )
        | (?P<word>   <[^<>]*+>
                    | @\([^()]*+\)[^\s,;\[\]{}]*+
                    | [^\s,;\[\]{}()'"<>]++(?:\([^()\[\]{}]*+\))? )
      ) (?= [\s,;\[\]{}] | \Z )
    """,
    re.VERBOSE,
)


class _NotALiteralError(Exception):
    """The text is not a literal as a whole."""


def parse_matlab_literal(text: str) -> MatlabValue:
    """Return the Python value of a MATLAB literal.

    Parameters
    ----------
    text : str
        The right-hand side of a header line.

    Returns
    -------
    bool, int, float, str or list
        Row vectors and cells become lists; matrices and numeric columns become lists of rows; a column of cells or
        of strings becomes a flat list; every empty array becomes ``[]``. Text that is not a literal comes back
        stripped of white space. No text raises.

    Examples
    --------
    >>> parse_matlab_literal("[1 2;3 4e-05]")
    [[1, 2], [3, 4e-05]]
    >>> parse_matlab_literal("{'Channel 1' [-1 1]}")
    ['Channel 1', [-1, 1]]
    >>> parse_matlab_literal("@scanimage.util.defaultPowerFunction")
    '@scanimage.util.defaultPowerFunction'
    """
    text = text.strip()
    try:
        if not text or text[0] in "@<":
            return text
        if text[0] not in "[{'\"":
            return _word(text)
        return _parse_tokens(text)
    except _NotALiteralError:
        return text


def as_list(value: MatlabValue) -> list[Any]:
    """Return a scalar, a row or a column as a flat list.

    MATLAB prints the same vector as ``1``, ``[1 2]`` or ``[1;2]``; this makes them alike. Rows of a true matrix
    are kept as rows.

    Examples
    --------
    >>> as_list(3), as_list([1, 2]), as_list([[1], [2]]), as_list([[1, 2], [3, 4]])
    ([3], [1, 2], [1, 2], [[1, 2], [3, 4]])
    """
    if not isinstance(value, list):
        return [value]
    if all(isinstance(row, list) and len(row) == 1 for row in value):
        return [row[0] for row in value]
    return list(value)


def parse_matlab_vector(text: str) -> list[int]:
    """Return a vector of integers, however MATLAB printed it.

    Parameters
    ----------
    text : str
        ``"3"``, ``"[7]"``, ``"[1 2 3]"``, ``"[1,2,3]"``, ``"[1;2;3]"`` or ``"[]"``, with any white space.

    Returns
    -------
    list of int

    Raises
    ------
    ValueError
        If the text is anything but a vector of whole numbers.

    Examples
    --------
    >>> parse_matlab_vector("[1;2;3]"), parse_matlab_vector("12"), parse_matlab_vector("[]")
    ([1, 2, 3], [12], [])
    """
    vector = as_list(parse_matlab_literal(text))
    for item in vector:
        whole = isinstance(item, int) or (isinstance(item, float) and item.is_integer())
        if isinstance(item, bool) or not whole:
            raise ValueError(f"cannot read {text[:80]!r} as a vector of integers; expected for example '[1 2 3]'")
    return [int(item) for item in vector]


def _word(word: str) -> MatlabValue:
    """Return the value of one bare word; the word itself if it is no number."""
    if word in _WORDS:
        return _WORDS[word]
    if _INTEGER.fullmatch(word):
        return int(word) if len(word) <= MAX_DIGITS else word
    if _FLOAT.fullmatch(word):
        return float(word)
    if _EMPTY_SHAPE.fullmatch(word) and 0 in _shape(word):
        return []
    return word


def _shape(word: str) -> list[int]:
    """Return the sizes in ``zeros(0,2)``; a shape of long numbers counts as not empty."""
    sizes = word[word.index("(") + 1 : -1].split(",")
    return [int(size) if size.strip().isdecimal() and len(size) <= MAX_DIGITS else 1 for size in sizes]


def _parse_tokens(text: str) -> MatlabValue:
    """Return the value of a text that starts with a bracket or a quote."""
    stack: list[tuple[str, list[list[Any]]]] = [("", [[]])]
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise _NotALiteralError
        at = match.end()
        kind, token = match.lastgroup, match[0]
        bracket, rows = stack[-1]
        if kind == "open":
            if len(stack) > MAX_DEPTH:
                raise _NotALiteralError
            stack.append((token, [[]]))
        elif kind == "close":
            if _CLOSERS.get(bracket) != token:
                raise _NotALiteralError
            stack.pop()
            stack[-1][1][-1].append(_array(bracket, rows))
        elif kind == "row":
            rows.append([])
        elif kind == "string":
            quote = token[0]
            rows[-1].append(token[1:-1].replace(quote * 2, quote))
        elif kind == "word":
            rows[-1].append(_word(token))
    outer = stack[0][1]
    if len(stack) > 1 or len(outer) > 1 or len(outer[0]) != 1:
        raise _NotALiteralError
    value: MatlabValue = outer[0][0]
    return value


def _array(bracket: str, rows: list[list[Any]]) -> list[Any]:
    """Return the list for the rows of one pair of brackets."""
    rows = [row for row in rows if row]
    if not rows:
        return []
    if len(rows) == 1:
        return rows[0]
    if all(len(row) == 1 and (bracket == "{" or isinstance(row[0], list | str)) for row in rows):
        return [row[0] for row in rows]
    return rows
