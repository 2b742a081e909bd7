"""Put the page together, and write it whole or not at all."""

import warnings
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

from pynwb import NWBFile

from scanimage_nwb import __version__
from scanimage_nwb.archive.naming import open_nwb
from scanimage_nwb.errors import MissingPackageError
from scanimage_nwb.report.about import about_section, summary_rows
from scanimage_nwb.report.checks import VerifiedSeries, checks_section
from scanimage_nwb.report.imaging import imaging_section
from scanimage_nwb.report.lifetime import lifetime_section
from scanimage_nwb.report.motion import motion_section
from scanimage_nwb.report.parts import Section
from scanimage_nwb.report.rois import rois_section
from scanimage_nwb.report.timing import timing_section
from scanimage_nwb.whole_file import whole_or_nothing

__all__ = ["need_packages", "write_report"]


def write_report(
    nwbfile_path: str | Path,
    report_path: str | Path | None = None,
    *,
    verified: Sequence[VerifiedSeries] | None = None,
    overwrite: bool = True,
) -> Path:
    """Write an HTML page that shows what an NWB file holds, for a person to look at before the file is uploaded.

    Only the NWB file is read. Movies are sampled evenly over their length, at most 400 MB of them together, and the
    page says how many samples were read. The page needs no other file, no network and no scripts.

    Parameters
    ----------
    nwbfile_path : path-like
        NWB file, written by this package or any other.
    report_path : path-like, optional
        The page; by default beside the file, with the suffix ``.html``.
    verified : sequence of SeriesCheck, optional
        What `scanimage_nwb.nwb.verify_nwbfile` returned; without it the page says "not verified".
    overwrite : bool
        Replace a page that is there.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    FileExistsError
        If the page is there and `overwrite` is False.
    FormatError
        If the file cannot be read as NWB.
    MissingPackageError
        If matplotlib or jinja2 is not installed.

    Examples
    --------
    >>> from scanimage_nwb.nwb import convert_recording
    >>> from scanimage_nwb.testing import write_scanimage_recording
    >>> recording = write_scanimage_recording(folder, n_volumes=20)
    >>> path = convert_recording(recording.paths[:1], folder / "session.nwb", timezone="UTC")
    >>> page = write_report(path)
    >>> page.name, "TwoPhotonSeries" in page.read_text(encoding="utf-8")
    ('session.html', True)
    """
    nwbfile_path = Path(nwbfile_path)
    report_path = nwbfile_path.with_suffix(".html") if report_path is None else Path(report_path)
    if report_path.is_dir():
        raise IsADirectoryError(f"{report_path} is a folder; name the page to write in it")
    if report_path.exists() and not overwrite:
        raise FileExistsError(f"{report_path} is there already; choose another name, or replace it with --overwrite")
    need_packages()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pynwb about odd files; the inspector's messages are on the page
        nwbfile = open_nwb(nwbfile_path)
        with closing(nwbfile.read_io):
            sections = _sections(nwbfile)
            summary = summary_rows(nwbfile)
        sections.insert(0, checks_section(nwbfile_path, verified))
    size = (
        sum(f.stat().st_size for f in nwbfile_path.rglob("*")) if nwbfile_path.is_dir() else nwbfile_path.stat().st_size
    )
    page = _render(
        title=nwbfile_path.name,
        summary=[*summary, ("file", f"{nwbfile_path.name}, {size / 1e6:,.1f} MB")],
        sections=sections,
        version=__version__,
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )
    report_path.parent.mkdir(parents=True, exist_ok=True)
    with whole_or_nothing(report_path.absolute(), overwrite=overwrite) as partial:
        partial.write_text(page, encoding="utf-8")
    return report_path


def need_packages() -> None:
    """Refuse early, with the way out, if a package that only the report needs is not there.

    Raises
    ------
    MissingPackageError
        If matplotlib or jinja2 is not installed.
    """
    try:
        import jinja2  # noqa: F401
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise MissingPackageError(
            f'the report needs {error.name}: python -m pip install "scanimage-nwb[report]"'
        ) from error


def _sections(nwbfile: NWBFile) -> list[Section]:
    """Make every section that the file has data for."""
    images, mean_images = imaging_section(nwbfile)
    found = [
        images,
        timing_section(nwbfile),
        motion_section(nwbfile),
        lifetime_section(nwbfile, mean_images),
        rois_section(nwbfile, mean_images),
        about_section(nwbfile),
    ]
    return [section for section in found if section is not None]


def _render(**content: Any) -> str:
    """Fill the template; everything that comes from a file is escaped."""
    import jinja2

    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    template = files("scanimage_nwb.report").joinpath("page.html.jinja").read_text(encoding="utf-8")
    return environment.from_string(template).render(**content)
