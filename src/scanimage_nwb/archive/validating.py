"""What nwbinspector and `dandi validate` say about files or a folder, in one list."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from scanimage_nwb.archive.advice import advice_for
from scanimage_nwb.archive.findings import Finding, Severity, inspect_file, last_line
from scanimage_nwb.archive.naming import dandi_name
from scanimage_nwb.errors import FormatError, MetadataError, MissingPackageError, ScanImageNwbError

__all__ = ["dandi_validate", "find_nwb_files", "has_dandi", "is_in_dandiset", "validate_files"]

_DANDI = {
    "CRITICAL": Severity.ERROR,
    "ERROR": Severity.CRITICAL,
    "WARNING": Severity.VIOLATION,
    "HINT": Severity.SUGGESTION,
    "INFO": Severity.SUGGESTION,
}
_RUN_DANDI = "from dandi.cli.command import main; main()"


def find_nwb_files(path: str | Path) -> list[Path]:
    """Return the NWB files that a path names: itself, or all in a folder.

    Parameters
    ----------
    path : path-like
        A file, a Zarr folder that ends in ``.zarr``, or a folder of files. What begins with a dot is left out.

    Returns
    -------
    list of Path
        Sorted.

    Raises
    ------
    FileNotFoundError
        If there is no such file, or the folder holds none.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path} is not there")
    if path.is_file() or path.suffix == ".zarr":
        return [path]
    found = sorted(
        file
        for pattern in ("*.nwb", "*.nwb.zarr")
        for file in path.rglob(pattern)
        if not any(part.startswith(".") for part in file.relative_to(path).parts)
    )
    if not found:
        raise FileNotFoundError(f"{path} holds no NWB file; expected names that end in .nwb")
    return found


def has_dandi() -> bool:
    """Tell whether the dandi client is installed."""
    return find_spec("dandi") is not None


def is_in_dandiset(path: Path) -> bool:
    """Tell whether a file or folder lies in a dandiset."""
    path = path.absolute()
    return any((folder / "dandiset.yaml").is_file() for folder in (path, *path.parents))


def validate_files(path: str | Path, *, use_dandi: bool | None = None) -> list[Finding]:
    """Ask nwbinspector, and the dandi client if it is installed, about a file or a folder of files.

    No network is needed. A file that lies in no dandiset is shown to the dandi client in one of its own, under the
    name that it would have there.

    Parameters
    ----------
    path : path-like
        NWB file, or folder.
    use_dandi : bool, optional
        Run ``dandi validate`` too; by default if it is installed.

    Returns
    -------
    list of Finding
        The most serious ones first.

    Raises
    ------
    FileNotFoundError
        If there is no such file, or the folder holds none.
    MissingPackageError
        If nwbinspector is not installed, or dandi is not and `use_dandi` is True.
    """
    files = find_nwb_files(path)
    found = [finding for file in files for finding in inspect_file(file)]
    if has_dandi() if use_dandi is None else use_dandi:
        if is_in_dandiset(Path(path)):
            found += dandi_validate([Path(path)])
        else:
            found += [finding for file in files for finding in _validate_alone(file)]
    return sorted(_once(found), key=lambda finding: (-finding.severity, finding.path, finding.check, finding.where))


def _once(findings: Iterable[Finding]) -> list[Finding]:
    """Leave out what the dandi client repeats of nwbinspector."""
    kept: dict[tuple[str, str, str], Finding] = {}
    for finding in findings:
        check = finding.check.removeprefix("NWBI.")
        kept.setdefault((str(Path(finding.path).resolve()), check, finding.where), finding)
    return list(kept.values())


def _validate_alone(file: Path) -> list[Finding]:
    """Run the dandi client on a file that lies in no dandiset."""
    try:
        name = dandi_name(file)
    except (MetadataError, FormatError) as error:
        check = "dandi_name" if isinstance(error, MetadataError) else "read"
        return [Finding(str(file), Severity.CRITICAL, check, str(error), "", advice_for(check))]
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder).resolve() / name
        place.parent.mkdir(parents=True)
        place.symlink_to(file.resolve(), target_is_directory=file.is_dir())
        (Path(folder) / "dandiset.yaml").write_text("identifier: DANDI:000000\nname: check\n", encoding="utf-8")
        return dandi_validate([Path(folder)], {str(place): str(file), str(place.parent): str(file.parent)})


def dandi_validate(paths: Sequence[Path], names: dict[str, str] | None = None) -> list[Finding]:
    """Run ``dandi validate``, without network.

    Parameters
    ----------
    paths : sequence of Path
        Files or folders in one dandiset.
    names : dict, optional
        Names to show in place of those that the client gives.

    Returns
    -------
    list of Finding

    Raises
    ------
    MissingPackageError
        If dandi is not installed.
    ScanImageNwbError
        If the client cannot be run.
    """
    if not has_dandi():
        raise MissingPackageError('this needs the dandi client: python -m pip install "scanimage-nwb[dandi]"')
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "validation.json"
        command = [sys.executable, "-c", _RUN_DANDI, "validate", "--format", "json", "--output", str(out)]
        run = subprocess.run(
            [*command, *(str(path) for path in paths)],
            env={**os.environ, "DANDI_NO_ET": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        try:
            records = json.loads(out.read_text(encoding="utf-8") or "[]")
        except (OSError, ValueError) as error:
            last = " ".join(run.stderr.split())[-400:]
            raise ScanImageNwbError(f"dandi validate ended with status {run.returncode}: {last}") from error
    return [_from_dandi(record, names or {}) for record in records if record.get("message") or record.get("id")]


def _from_dandi(record: dict[str, Any], names: dict[str, str]) -> Finding:
    """Read one record of the dandi client."""
    path = str(record.get("path") or record.get("dandiset_path") or "")
    check = str(record.get("id"))
    message = last_line(str(record.get("message") or ""))
    if " " in check:  # the inspector's sentence about a file that it cannot read
        check = "NWBI.read"
    within = record.get("within_asset_paths") or {}
    severity = _DANDI.get(str(record.get("severity")), Severity.ERROR)
    where = str(next(iter(within.values()), "") or "")
    return Finding(names.get(path, path), severity, check, message, where, advice_for(check))
