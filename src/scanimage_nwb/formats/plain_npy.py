"""Read .npy files of object arrays, as suite2p writes them, without running what a pickle may hold.

Only arrays, numbers, texts, paths and plain containers are rebuilt; any other name is refused before it is looked up.
"""

import pickle
import tokenize
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, BinaryIO

import numpy as np

from scanimage_nwb.errors import FormatError

__all__ = ["load_plain_npy"]

_NUMPY = {
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    *((f"numpy.{core}.multiarray", name) for core in ("core", "_core") for name in ("_reconstruct", "scalar")),
    *((f"numpy.{core}.numeric", "_frombuffer") for core in ("core", "_core")),
}
"""What arrays and NumPy's numbers are rebuilt by."""
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
                found = _PlainUnpickler(file, path).load()
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


def _encode_latin1(text: str, encoding: str) -> bytes:
    """Return bytes that were pickled as text, the only use that pickles of arrays make of it."""
    if encoding != "latin1":
        raise ValueError(f"bytes are pickled as {encoding!r}; expected 'latin1'")
    return text.encode("latin1")


class _PlainUnpickler(pickle.Unpickler):
    """Rebuilds arrays and plain values."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        super().__init__(file, encoding="latin1")
        self._path = path

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("_codecs", "encode"):
            return _encode_latin1
        if module in ("pathlib", "pathlib._local") and name in _PATHS:
            return _PATHS[name]
        if (module, name) not in _NUMPY:
            raise FormatError(
                f"{self._path} asks for {module}.{name}, which is neither an array nor a plain value. Such a file can "
                "run programs when it is loaded, and is refused; if you trust it, load it yourself, and save its "
                "arrays with numpy.savez"
            )
        if module.startswith("numpy.core"):  # names of NumPy 1, which NumPy 2 warns about
            newer = module.replace("numpy.core", "numpy._core", 1)
            try:
                return super().find_class(newer, name)
            except ModuleNotFoundError:
                return super().find_class(module, name)
        return super().find_class(module, name)
