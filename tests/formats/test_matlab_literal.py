"""The parser of MATLAB literals: against tifffile on real headers, by hand, and on whatever hypothesis finds."""

import json
import math
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanimage_nwb.formats.matlab_literal import as_list, parse_matlab_literal, parse_matlab_vector

ONE_CELL = "a cell of one element stays a list: one channel name is still a list of names"
KNOWN_DIFFERENCES = {
    "{'pmt'}": (["pmt"], ONE_CELL),
    "{'PMT2100'}": (["PMT2100"], ONE_CELL),
    "{''}": ([""], ONE_CELL),
    "{[]}": ([[]], ONE_CELL),
    "{scanimage.types.BeamAdjustTypes.None}": (["scanimage.types.BeamAdjustTypes.None"], ONE_CELL),
    "{'@scanimage.util.defaultPowerFunction'}": (["@scanimage.util.defaultPowerFunction"], ONE_CELL),
    "{'XYZ Stage: initialization error: Error instantiating Motor'}": (
        ["XYZ Stage: initialization error: Error instantiating Motor"],
        ONE_CELL,
    ),
    "{'Thorlab stage: initialization error: Failed to open COM Port with error code: 5'}": (
        ["Thorlab stage: initialization error: Failed to open COM Port with error code: 5"],
        ONE_CELL,
    ),
    "zeros(1,0)": ([], "an empty array is [], whatever its shape; tifffile makes [[]]"),
    "'$scim_colorMap(''gray'',8,5)'": ("$scim_colorMap('gray',8,5)", "a doubled quote is a quote"),
    "{16,16,16,16}": ([16, 16, 16, 16], "commas part elements; tifffile makes one string"),
    "{'Channel 1','Channel 2','Channel 3','Channel 4'}": (
        ["Channel 1", "Channel 2", "Channel 3", "Channel 4"],
        "commas part elements; tifffile cuts at the spaces",
    ),
}


def split_lines(text: str) -> Iterator[str]:
    """Yield the values of ``key = value`` lines."""
    for line in text.replace("\r", "\n").split("\n"):
        if "=" in line:
            yield line.split("=", 1)[1].strip()


def real_values(data_dir: Path) -> set[str]:
    """Return every distinct value of every real header and page text."""
    values: set[str] = set()
    for path in sorted((data_dir / "headers").glob("*.txt")):
        if not path.name.endswith("Artist.txt"):
            values.update(split_lines(path.read_text(encoding="latin1")))
    for name in ("SI2022.0_neuroconv_volume_a.json", "SI3.8_neuroconv_description.json"):
        values.update(json.loads((data_dir / "headers" / name).read_text()).values())
    for path in (*(data_dir / "scanimage").glob("*.tif"), *(data_dir / "siff").glob("*.siff")):
        with path.open("rb") as file:
            (length,) = struct.unpack("<24xI4x", file.read(32))
            values.update(split_lines(file.read(length).decode("latin1").rstrip("\0")))
    return values


def test_equals_tifffile_on_every_real_line(data_dir: Path) -> None:
    tifffile = pytest.importorskip("tifffile")
    values = real_values(data_dir)
    assert len(values) > 400
    met = set()
    for value in sorted(values):
        if value in KNOWN_DIFFERENCES:
            met.add(value)
            assert parse_matlab_literal(value) == KNOWN_DIFFERENCES[value][0]
            assert parse_matlab_literal(value) != tifffile.tifffile.matlabstr2py(value), f"{value} no longer differs"
        else:
            # repr tells 1 from 1.0 and from True, and NaN equals itself
            assert repr(parse_matlab_literal(value)) == repr(tifffile.tifffile.matlabstr2py(value)), value
    assert met == set(KNOWN_DIFFERENCES)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1", 1),
        ("-12", -12),
        ("+3", 3),
        ("   10 ", 10),
        ("1.0", 1.0),
        ("1.", 1.0),
        (".5", 0.5),
        ("1e-05", 1e-05),
        ("8e+07", 8e7),
        ("2E3", 2000.0),
        ("12345678901234567890123", 12345678901234567890123),
        ("1716838380668523800", 1716838380668523800),
        ("Inf", math.inf),
        ("-Inf", -math.inf),
        ("true", True),
        ("false", False),
        ("''", ""),
        ("'grab'", "grab"),
        ("'it''s'", "it's"),
        ("''''", "'"),
        ("'a [1 2] {b'", "a [1 2] {b"),
        (r"'D:\CONFIG\install.cfg'", r"D:\CONFIG\install.cfg"),
        ('"double ""quoted"" it\'s"', 'double "quoted" it\'s'),
        ("'1'", "1"),
        ("[]", []),
        ("{}", []),
        ("[;]", []),
        ("[ ]", []),
        ("zeros(1,0)", []),
        ("zeros(0,2)", []),
        ("ones(0, 0)", []),
        ("[7]", [7]),
        ("[1 2 3]", [1, 2, 3]),
        ("[1,2]", [1, 2]),
        ("[1, -2,3.5]", [1, -2, 3.5]),
        ("[1 2;3 4]", [[1, 2], [3, 4]]),
        ("[1 2;3 4;]", [[1, 2], [3, 4]]),
        ("[1;2]", [[1], [2]]),
        ("[true false]", [True, False]),
        ("{'green';'red'}", ["green", "red"]),
        ("{1;2}", [1, 2]),
        ("{'a'}", ["a"]),
        ("{[-1 1]}", [[-1, 1]]),
        ("{[-1 1] [-1 1]}", [[-1, 1], [-1, 1]]),
        ("{1 2;3 4}", [[1, 2], [3, 4]]),
        ("{[] {} zeros(1,0)}", [[], [], []]),
        ("{{12.807774195, [1,0,1,0,83,2]} }", [[12.807774195, [1, 0, 1, 0, 83, 2]]]),
        ("[[1 2];[3 4]]", [[1, 2], [3, 4]]),
        (
            "{@scanimage.f @(x,y)x+y <nonscalar struct/object>}",
            ["@scanimage.f", "@(x,y)x+y", "<nonscalar struct/object>"],
        ),
        ("[a.B.Exponential a.B.None]", ["a.B.Exponential", "a.B.None"]),
    ],
)
def test_literals(text: str, expected: object) -> None:
    assert repr(parse_matlab_literal(text)) == repr(expected)


def test_nan() -> None:
    value = parse_matlab_literal("NaN")
    assert isinstance(value, float)
    assert math.isnan(value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "@scanimage.components.alignZRoiData",
        "@(x)x+[1 2]",
        "<nonscalar struct/object>",
        "<nonscalar [1 2]>",
        "containers.Map",
        "containers.Map('a',1)",
        "scanimage.types.BeamAdjustTypes.None",
        "1 2 3",
        "[1 2",
        "1 2]",
        "[1 2}",
        "{1 2]",
        "[1 2] 3",
        "[1] [2]",
        "[1];[2]",
        "'a';",
        "'open",
        "'it's'",
        "{'it's' 'that's'}",
        '"a"b',
        "[1 (2]",
        "{<open}",
        ";",
        "1;2",
        "1_000",
        "0x10",
        "1+2i",
        "1e",
        "١٢",
        "True1",
        "zeros(100000000,100000000)",
        "int16([1 2])",
        "__import__('os').system('true')",
        "[__import__('os').system('true')]",
        "[i for i in (1,2)]()",
    ],
)
def test_text_stays_text(text: str) -> None:
    assert parse_matlab_literal(f"  {text}\t") == text


def test_depth_is_capped() -> None:
    value = parse_matlab_literal("{" * 64 + "7" + "}" * 64)
    for _ in range(64):
        assert isinstance(value, list)
        assert len(value) == 1
        value = value[0]
    assert value == 7
    too_deep = "{" * 65 + "7" + "}" * 65
    assert parse_matlab_literal(too_deep) == too_deep


def test_endless_integers_stay_text() -> None:
    digits = "9" * 100_000
    assert parse_matlab_literal(digits) == digits
    assert parse_matlab_literal(f"zeros({digits},1)") == f"zeros({digits},1)"
    assert parse_matlab_literal("9" * 300) == int("9" * 300)


@pytest.mark.parametrize(
    "piece",
    [
        "[",
        "{",
        "]",
        "[]",
        "'",
        "''",
        '"',
        "<",
        "<<a",
        "@",
        "@(",
        "a(",
        "((",
        "1",
        "1 ",
        "1e",
        "-",
        ";",
        ",",
        "a(b,",
        "\\",
        "[1;",
    ],
)
@pytest.mark.parametrize("start", ["", "[", "{'", "{"])
def test_time_is_linear(piece: str, start: str) -> None:
    text = start + piece * (1_000_000 // len(piece))
    began = time.process_time()
    parse_matlab_literal(text)
    assert time.process_time() - began < 10  # quadratic time would take hours


def test_long_row_is_read() -> None:
    assert parse_matlab_literal("[" + "1 " * 500_000 + "]") == [1] * 500_000


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (3, [3]),
        ("a", ["a"]),
        ([], []),
        ([7], [7]),
        ([1, 2], [1, 2]),
        ([[1], [2]], [1, 2]),
        ([[1, 2], [3, 4]], [[1, 2], [3, 4]]),
        ([[]], [[]]),
    ],
)
def test_as_list(value: object, expected: list[object]) -> None:
    assert as_list(value) == expected  # type: ignore[arg-type]


def test_as_list_copies() -> None:
    row = [1, 2]
    as_list(row).append(3)
    assert row == [1, 2]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[1 2 3]", [1, 2, 3]),
        ("[1,2,3]", [1, 2, 3]),
        ("[1;2;3]", [1, 2, 3]),
        ("[1; 2 ;3]", [1, 2, 3]),
        (" [ 1 ,\t2  3 ] ", [1, 2, 3]),
        ("3", [3]),
        ("12", [12]),
        (" 12 ", [12]),
        ("[7]", [7]),
        ("[12]", [12]),
        ("[-1 10]", [-1, 10]),
        ("[]", []),
        ("zeros(1,0)", []),
        ("[1.0 2e+00]", [1, 2]),
        ("9007199254740993", [9007199254740993]),
    ],
)
def test_vector(text: str, expected: list[int]) -> None:
    vector = parse_matlab_vector(text)
    assert vector == expected
    assert all(type(item) is int for item in vector)


@pytest.mark.parametrize(
    "text",
    ["", "garbage", "[1 x]", "[1 2", "1 2", "[1 2;3 4]", "[1.5]", "Inf", "NaN", "[true]", "'1'", "{'1'}", "[[] 1]"],
)
def test_vector_refuses(text: str) -> None:
    with pytest.raises(ValueError, match="vector of integers") as caught:
        parse_matlab_vector(text)
    assert repr(text) in str(caught.value)


def is_value(value: object) -> bool:
    """Tell whether a value is of the promised kinds all the way down."""
    if isinstance(value, list):
        return all(is_value(item) for item in value)
    return isinstance(value, bool | int | float | str)


@settings(max_examples=500, deadline=None)
@given(st.text() | st.text(alphabet="[]{};,'\"<>@()= 0123456789eE.+-ab\n\t\\true"))
def test_total(text: str) -> None:
    value = parse_matlab_literal(text)
    assert is_value(value)
    if isinstance(value, str) and not text.strip().startswith(("'", '"')):
        assert value == text.strip()


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="[]{};,' 0123456789-."))
def test_vector_is_total_but_for_value_error(text: str) -> None:
    try:
        vector = parse_matlab_vector(text)
    except ValueError:
        return
    assert all(type(item) is int for item in vector)


def print_number(value: float) -> str:
    """Print a number as MATLAB does."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and math.isinf(value):
        return "Inf" if value > 0 else "-Inf"
    return repr(value)


def print_cell(value: object) -> str:
    """Print a value as MATLAB does, lists as cells."""
    if isinstance(value, list):
        return "{" + " ".join(print_cell(item) for item in value) + "}"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    assert isinstance(value, int | float)
    return print_number(value)


NUMBERS = st.booleans() | st.integers(-(10**20), 10**20) | st.floats(allow_nan=False)
CELLS = st.recursive(NUMBERS | st.text(), lambda inner: st.lists(inner, max_size=4), max_leaves=20)


@settings(max_examples=300, deadline=None)
@given(CELLS)
def test_cells_come_back(value: object) -> None:
    assert repr(parse_matlab_literal(print_cell(value))) == repr(value)


@settings(max_examples=300, deadline=None)
@given(
    st.tuples(st.integers(2, 4), st.integers(1, 4)).flatmap(
        lambda shape: st.lists(
            st.lists(NUMBERS, min_size=shape[1], max_size=shape[1]), min_size=shape[0], max_size=shape[0]
        )
    ),
    st.sampled_from([" ", ",", ", ", "  "]),
    st.sampled_from([";", "; ", " ; "]),
)
def test_matrices_come_back(rows: list[list[float]], column_gap: str, row_gap: str) -> None:
    text = "[" + row_gap.join(column_gap.join(print_number(item) for item in row) for row in rows) + "]"
    assert repr(parse_matlab_literal(text)) == repr(rows)
