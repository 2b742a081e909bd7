"""Read .npy files of object arrays, as suite2p writes them, without running what a pickle may hold.

Only arrays, numbers, texts, paths and plain containers are rebuilt; any other name is refused before it is looked up.
Arrays are not rebuilt by NumPy's own functions, which damaged bytes can make crash, but by checked ones.
"""

import math
import pickle
import re
import tokenize
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, BinaryIO

import numpy as np

from scanimage_nwb.errors import FormatError

__all__ = ["load_plain_npy"]

_PATHS = {
    "PosixPath": PurePosixPath,
    "PurePosixPath": PurePosixPath,
    "WindowsPath": PureWindowsPath,
    "PureWindowsPath": PureWindowsPath,
}
"""Paths become texts with parts: nothing is opened, and those of another system are read too."""
_DAMAGE = (
    pickle.UnpicklingError,
    tokenize.TokenError,  # NumPy parses the header as Python's grammar has it
    SyntaxError,
    RecursionError,
    EOFError,
    ValueError,
    TypeError,
    AttributeError,
    IndexError,
    KeyError,
    OverflowError,
    MemoryError,
    NotImplementedError,
)
"""What the unpickler raises for bytes that are no pickle, or cut short."""


def load_plain_npy(path: str | Path) -> Any:
    """Read an .npy file, of numbers or of plain objects.

    Parameters
    ----------
    path : path-like
        The file.

    Returns
    -------
    object
        An array; of an object array without axes, what it holds (suite2p's ops is a dictionary).

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    FormatError
        If it is no .npy file, is damaged, or holds anything but arrays and plain values.

    Examples
    --------
    >>> np.save(folder / "ops.npy", {"Ly": 4, "yoff": np.zeros(2)})
    >>> load_plain_npy(folder / "ops.npy")["Ly"]
    4
    """
    path = Path(path)
    with path.open("rb") as file:
        try:
            version = np.lib.format.read_magic(file)
            read_header = {
                (1, 0): np.lib.format.read_array_header_1_0,
                (2, 0): np.lib.format.read_array_header_2_0,
            }.get(version)
            if read_header is None:
                raise FormatError(f"{path} is an .npy file of version {version}; expected 1.0 or 2.0")
            shape, _, dtype = read_header(file)
            if dtype.hasobject:
                found = _without_stand_ins(_PlainUnpickler(file, path).load(), set())
            else:
                file.seek(0)
                return np.lib.format.read_array(file, allow_pickle=False)
        except FormatError:
            raise
        except _DAMAGE as error:
            raise FormatError(f"{path} is no .npy file, or is cut short or damaged: {error}") from error
    if not isinstance(found, np.ndarray) or found.shape != shape:
        raise FormatError(
            f"{path} holds a {type(found).__name__}; expected an array of shape {shape}, as its header says"
        )
    return found.item() if found.shape == () else found


class _PickledDtype:
    """Stands in for a dtype while a pickle is read."""

    def __init__(self, code: str, *_align_and_copy: object) -> None:
        if not isinstance(code, str) or not re.fullmatch(r"[?biufcOSU]\d{0,6}", code):
            raise ValueError(f"an array is of type {code!r}; expected numbers, texts or objects")
        self.dtype = np.dtype(code)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        byte_order, *structure = state[1:5]
        if structure != [None, None, None] or byte_order not in ("<", ">", "=", "|"):
            raise ValueError("an array has a type with fields; expected numbers, texts or objects")
        self.dtype = self.dtype.newbyteorder(byte_order)


class _PickledArray:
    """Stands in for an array while a pickle is read."""

    array: np.ndarray

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _version, shape, kind, is_fortran, data = state
        if not isinstance(kind, _PickledDtype):
            raise ValueError(f"an array has the type {kind!r}")
        shape = tuple(int(n) for n in shape)
        if min(shape, default=0) < 0:
            raise ValueError(f"an array has the shape {shape}")
        if kind.dtype.hasobject:
            if not isinstance(data, list) or len(data) != math.prod(shape):
                raise ValueError(f"an array of shape {shape} has another number of objects")
            flat = np.empty(len(data), dtype=object)
            flat[:] = data if data else []
        else:
            data = data.encode("latin1") if isinstance(data, str) else data
            flat = np.frombuffer(data, kind.dtype).copy()
        self.array = flat.reshape(shape, order="F" if is_fortran else "C")


def _reconstruct(*_kind: object) -> _PickledArray:
    """Begin an array; its state follows."""
    return _PickledArray()


def _scalar(kind: _PickledDtype, data: bytes | str) -> Any:
    """Return one of NumPy's numbers."""
    data = data.encode("latin1") if isinstance(data, str) else data
    if not isinstance(kind, _PickledDtype) or kind.dtype.hasobject or len(data) != kind.dtype.itemsize:
        raise ValueError("a number has another size than its type")
    return np.frombuffer(data, kind.dtype)[0]


def _from_buffer(data: Any, kind: _PickledDtype, shape: tuple[int, ...], order: str, *_axes: object) -> np.ndarray:
    """Return an array of the newest protocol."""
    if kind.dtype.hasobject or order not in ("C", "F"):
        raise ValueError("an array of objects is no block of bytes")
    return np.frombuffer(data, kind.dtype).reshape(shape, order="C" if order == "C" else "F")


def _encode_latin1(text: str, encoding: str) -> bytes:
    """Return bytes that were pickled as text, the only use that pickles of arrays make of it."""
    if encoding != "latin1":
        raise ValueError(f"bytes are pickled as {encoding!r}; expected 'latin1'")
    return text.encode("latin1")


def _without_stand_ins(value: Any, seen: set[int]) -> Any:
    """Put arrays and dtypes in the places of what stands in for them."""
    if isinstance(value, _PickledDtype):
        return value.dtype
    found = value.array if isinstance(value, _PickledArray) else value
    if isinstance(found, tuple):
        return tuple(_without_stand_ins(own, seen) for own in found)
    if id(found) in seen:
        return found
    if isinstance(found, dict):
        seen.add(id(found))
        for key in found:
            found[key] = _without_stand_ins(found[key], seen)
    elif isinstance(found, list):
        seen.add(id(found))
        found[:] = [_without_stand_ins(own, seen) for own in found]
    elif isinstance(found, np.ndarray) and found.dtype.hasobject:
        seen.add(id(found))
        for index in np.ndindex(found.shape):
            found[index] = _without_stand_ins(found[index], seen)
    return found


_REBUILT = {
    ("_codecs", "encode"): _encode_latin1,
    ("numpy", "dtype"): _PickledDtype,
    ("numpy", "ndarray"): _PickledArray,
    **{
        (f"numpy.{core}.{module}", name): function
        for core in ("core", "_core")  # of NumPy 1 and 2
        for module, name, function in (
            ("multiarray", "_reconstruct", _reconstruct),
            ("multiarray", "scalar", _scalar),
            ("numeric", "_frombuffer", _from_buffer),
        )
    },
    **{(module, name): path for module in ("pathlib", "pathlib._local") for name, path in _PATHS.items()},
}
"""What pickles of arrays and plain values name, and what is put in its place."""


class _PlainUnpickler(pickle.Unpickler):
    """Rebuilds arrays and plain values."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        super().__init__(file, encoding="latin1")
        self._path = path

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _REBUILT:
            raise FormatError(
                f"{self._path} asks for {module}.{name}, which is neither an array nor a plain value. Such files "
                "can run code and are refused; if you trust it, load it yourself, and save its "
                "arrays with numpy.savez"
            )
        return _REBUILT[module, name]
