"""Pickled arrays are read, and anything else in a pickle is refused before it can do anything."""

import os
import pickle
import warnings
from collections import OrderedDict
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanimage_nwb.errors import FormatError
from scanimage_nwb.formats.plain_npy import load_plain_npy

OPS = {
    "Ly": 3,
    "fs": 10.5,
    "save_path": PurePosixPath("/a/b"),
    "tiff": "C:\\a.tif",
    "none": None,
    "flag": True,
    "img": np.arange(6, dtype=">f4").reshape(2, 3),
    "scalar": np.float32(2.5),
    "nested": [np.array([1, "x", None], dtype=object), (1, 2), {"a": b"\x00\xff"}],
    "set": {1, 2},
}


def test_plain_values_come_back(tmp_path: Path) -> None:
    np.save(tmp_path / "ops.npy", OPS, allow_pickle=True)
    found = load_plain_npy(tmp_path / "ops.npy")
    assert found.keys() == OPS.keys()
    np.testing.assert_array_equal(found["img"], OPS["img"])
    assert found["scalar"] == np.float32(2.5)
    assert found["nested"][0].tolist() == [1, "x", None]
    assert found["nested"][1:] == OPS["nested"][1:]
    assert found["save_path"] == PurePosixPath("/a/b")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_every_protocol(tmp_path: Path, protocol: int) -> None:
    array = np.empty(2, dtype=object)
    array[:] = [{"ypix": np.arange(3)}, {"ypix": np.arange(4)}]
    header = np.lib.format.header_data_from_array_1_0(array)
    with (tmp_path / "stat.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        pickle.dump(array, file, protocol=protocol)
    found = load_plain_npy(tmp_path / "stat.npy")
    assert [own["ypix"].tolist() for own in found] == [[0, 1, 2], [0, 1, 2, 3]]


def test_paths_of_another_system_are_read(tmp_path: Path) -> None:
    np.save(tmp_path / "ops.npy", {"path": PureWindowsPath("C:/a/b")}, allow_pickle=True)
    assert load_plain_npy(tmp_path / "ops.npy")["path"] == PureWindowsPath("C:/a/b")


def test_arrays_of_numbers(tmp_path: Path) -> None:
    np.save(tmp_path / "F.npy", np.eye(3, dtype="f4"))
    np.testing.assert_array_equal(load_plain_npy(tmp_path / "F.npy"), np.eye(3))


class _Runs:
    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize(
    ("evil", "name"),
    [
        (_Runs(os.system, "touch run"), "system"),
        (_Runs(eval, "1"), "eval"),
        (_Runs(np.load, "x.npy", None, True), "load"),
        (_Runs(__import__, "os"), "__import__"),
        (OrderedDict(a=1), "OrderedDict"),
        (datetime(2026, 1, 1, tzinfo=UTC), "datetime"),
    ],
    ids=lambda own: own if isinstance(own, str) else "",
)
def test_anything_else_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, evil: Any, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    np.save(tmp_path / "ops.npy", {"x": evil}, allow_pickle=True)
    with pytest.raises(FormatError, match=rf"ops\.npy asks for [\w.]+\.{name}, which is neither"):
        load_plain_npy(tmp_path / "ops.npy")
    assert not (tmp_path / "run").exists()


def test_codecs_do_what_arrays_need_and_no_more(tmp_path: Path) -> None:
    import codecs

    np.save(tmp_path / "ops.npy", {"x": _Runs(codecs.encode, "a", "rot13")}, allow_pickle=True)
    with pytest.raises(FormatError, match="'latin1'"):
        load_plain_npy(tmp_path / "ops.npy")


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_damaged_files_end_in_one_kind_of_error(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    rng = np.random.default_rng(seed)
    path = tmp_path_factory.mktemp("npy") / "ops.npy"
    np.save(path, OPS, allow_pickle=True)
    data = bytearray(path.read_bytes())
    if seed % 2:
        del data[int(rng.integers(len(data))) :]
    for _ in range(int(rng.integers(0, 4))):
        if data:
            data[int(rng.integers(len(data)))] = int(rng.integers(256))
    path.write_bytes(data)
    with suppress(FormatError), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Reading `.npy` or `.npz` file required additional header parsing")
        load_plain_npy(path)


def test_what_is_no_npy(tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(FormatError, match=r"no \.npy file"):
        load_plain_npy(tmp_path / "a.npy")
    with pytest.raises(FileNotFoundError):
        load_plain_npy(tmp_path / "b.npy")
