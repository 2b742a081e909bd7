"""Imports point one way only: downward in the drawing of the design."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src"

RANKS = [
    {"cli", "__main__"},
    {"commands"},
    {"report", "batch"},
    {"archive"},
    {"nwb"},
    {"extractors", "metadata_utils", "inspection", "session_folder", "siff_reader"},
    {"recording", "registration", "flim", "roi_traces"},
    {"formats", "frame_index", "time_axis"},
    {"kernels"},
    {"command_line"},
    {"errors", "axes", "threads", "whole_file"},
]
"""Rooms from the top down; a room imports from lower ranks, and within itself."""

NO_SIBLINGS = [{"formats", "frame_index", "time_axis"}, {"registration", "flim", "roi_traces"}, {"errors", "axes"}]

RANK_OF = {room: rank for rank, rooms in enumerate(RANKS) for room in rooms}


def room_of(path: Path) -> str:
    """Return the room of a source file: its first folder or its name."""
    parts = path.relative_to(SOURCE / "scanimage_nwb").with_suffix("").parts
    return parts[0]


def imported_modules(path: Path) -> list[str]:
    """Return every module that a file imports, anywhere in it."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.append(node.module or "")
            found += [f"{node.module}.{alias.name}" for alias in node.names if node.module == "scanimage_nwb"]
    return found


FILES = [
    path
    for path in sorted((SOURCE / "scanimage_nwb").rglob("*.py"))
    if path.parent.name != "scanimage_nwb" or path.stem != "__init__"
]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_point_downward(path: Path) -> None:
    room = room_of(path)
    targets = {name.split(".")[1] for name in imported_modules(path) if name.startswith("scanimage_nwb.")}
    targets -= {room, "__version__"}
    if room == "testing":
        assert targets == set(), "the writer of test files shares no code with the readers"
        return
    assert room in RANK_OF, f"{room} is not in the drawing: give it a rank here and in the design"
    for target in targets:
        if target == "testing":
            assert room == "commands", "only commands may write a demo session"
            continue
        assert RANK_OF[target] >= RANK_OF[room], f"{path.name} ({room}) imports upward, from {target}"
        assert not any({room, target} <= siblings for siblings in NO_SIBLINGS), f"{room} and {target} are siblings"


@pytest.mark.parametrize(
    ("package", "rooms"),
    [
        ("pynwb", {"nwb", "archive", "report", "batch"}),
        ("hdmf", {"nwb", "report"}),
        ("neuroconv", {"nwb", "batch"}),
        ("roiextractors", {"extractors", "nwb"}),
        ("numba", {"kernels"}),
        ("phasorpy", {"flim"}),
    ],
)
def test_heavy_packages_stay_in_their_rooms(package: str, rooms: set[str]) -> None:
    users = {room_of(path) for path in FILES if any(name.split(".")[0] == package for name in imported_modules(path))}
    assert users <= rooms


def test_extension_imports_pynwb_only() -> None:
    """ndx_flim must stay liftable into a repository of its own."""
    files = list((SOURCE / "ndx_flim").rglob("*.py"))
    assert len(files) > 4
    roots = {name.split(".")[0] for path in files for name in imported_modules(path)}
    assert roots <= {"ndx_flim", "pynwb", "hdmf", "numpy", "pathlib", "typing"}


def test_the_drawing_is_enforced() -> None:
    """The finder must see imports, or every test above passes for ever."""
    assert "scanimage_nwb.formats.tiff_pages" in imported_modules(SOURCE / "scanimage_nwb" / "recording" / "opening.py")
    assert len(FILES) > 10
