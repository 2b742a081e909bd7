"""Every example in a docstring runs and prints what it says."""

import doctest
import pkgutil
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

import ndx_flim
import scanimage_nwb

MODULES = sorted(
    module.name
    for package in (scanimage_nwb, ndx_flim)
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    if "__main__" not in module.name
)


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str, tmp_path: Path) -> None:
    """Examples may use `np` and `folder`, an empty folder."""
    module = import_module(name)
    names = {**vars(module), "np": np, "folder": tmp_path}
    failed, _ = doctest.testmod(module, globs=names, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert failed == 0


def test_there_are_examples_to_run() -> None:
    """A finder that finds nothing would make the test above pass for ever."""
    finder = doctest.DocTestFinder()
    examples = [test for name in MODULES for test in finder.find(import_module(name)) if test.examples]
    assert len(examples) > 15
