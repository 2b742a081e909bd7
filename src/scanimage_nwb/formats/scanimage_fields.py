"""What the header and its ROI JSON say about space: field of view, pixel size, and the scanfields of a page.

The ROI JSON gives centres and sizes in degrees of scan angle; ``SI.objectiveResolution`` is microns per degree.
Headers of version 5.0 and older hold no field of view. Pages of line-averaging rigs (fewer rows than scanned lines)
are not supported with more than one scanfield: they raise `FormatError`.
"""

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeGuard

from scanimage_nwb.errors import FormatError, ScanImageNwbWarning
from scanimage_nwb.formats.matlab_literal import as_list
from scanimage_nwb.formats.scanimage_header import ScanImageHeader

__all__ = ["FieldOfView", "Scanfield", "parse_field_of_view", "parse_scanfields"]


@dataclass(frozen=True, slots=True)
class FieldOfView:
    """Where a page lies in the reference space of the scanner."""

    size_um: tuple[float, float]
    """Width and height (x, y) of the page in microns."""
    center_um: tuple[float, float]
    """Centre (x, y) in microns from the scanner's axis."""
    pixel_size_um: tuple[float, float]
    """Width and height (x, y) of one pixel of the page in microns."""
    rotation_deg: float
    """Rotation of the page in degrees."""


@dataclass(frozen=True, slots=True)
class Scanfield:
    """One imaging region, and the rows of the page that hold it."""

    name: str
    """Name of the scanfield, else of its ROI, else "Scanfield N"."""
    rows: tuple[int, int]
    """First row on the page and the row after the last."""
    size_um: tuple[float, float] | None
    """Width and height (x, y) in microns; None if the header does not say how large a degree is."""
    center_um: tuple[float, float] | None
    """Centre (x, y) in microns from the scanner's axis; None likewise."""
    pixel_resolution_xy: tuple[int, int]
    """Columns and rows as the ROI JSON claims them."""
    z: float | None
    """Depth in microns; None if the ROI does not say, or lies at several."""
    rotation_deg: float
    """Rotation in degrees."""


@dataclass(frozen=True, slots=True)
class _Region:
    """One ROI of the imaging group. Of its scanfields, which lie at different depths, a page holds one."""

    name: str
    scanfields: tuple[dict[str, Any], ...]
    z: float | None


def parse_field_of_view(header: ScanImageHeader, *, page_shape: tuple[int, int]) -> FieldOfView | None:
    """Return the field of view of a page.

    Parameters
    ----------
    header : ScanImageHeader
        Header with its ROI JSON; without that, ``hRoiManager.imagingFovUm`` or ``imagingFovDeg`` serves.
    page_shape : tuple of int
        Height and width of the page as stored, which may differ from what the header claims.

    Returns
    -------
    FieldOfView or None
        None if the header does not say, if the page holds several scanfields (see `parse_scanfields`), or if the
        field differs from plane to plane.

    Raises
    ------
    HeaderFieldError, FormatError
        If the header or its ROI JSON holds something else where numbers are needed.

    Examples
    --------
    >>> text = "SI.hRoiManager.imagingFovUm = [-9 -9;9 -9;9 9;-9 9]"
    >>> field_of_view = parse_field_of_view(ScanImageHeader.from_text(text, source="a.tif"), page_shape=(36, 18))
    >>> field_of_view.size_um, field_of_view.pixel_size_um
    ((18.0, 18.0), (1.0, 0.5))
    """
    um_per_deg = header.positive("SI.objectiveResolution")
    regions = list(_enabled_regions(header))
    if len(regions) > 1:
        return None
    if regions and um_per_deg:
        return _field_of_view_of_region(header, regions[0], um_per_deg, page_shape)
    corners = _corners(header, "SI.hRoiManager.imagingFovUm", 1.0)
    if corners is None and um_per_deg:
        corners = _corners(header, "SI.hRoiManager.imagingFovDeg", um_per_deg)
    return None if corners is None else _field_of_view_from_corners(corners, page_shape)


def parse_scanfields(header: ScanImageHeader, *, page_shape: tuple[int, int]) -> tuple[Scanfield, ...]:
    """Return the scanfields that are stacked on the rows of a page.

    Between them lie the rows of the scanner's flight: its time in line periods, rounded up to an even number; none if
    the scanner is not resonant. Of a ROI with scanfields at several depths the first stands for all.

    Parameters
    ----------
    header : ScanImageHeader
        Header with its ROI JSON.
    page_shape : tuple of int
        Height and width of the page as stored; a single scanfield takes all of it.

    Returns
    -------
    tuple of Scanfield
        Enabled scanfields of the imaging ROIs from the top, one per ROI; empty without ROI JSON.

    Warns
    -----
    ScanImageNwbWarning
        If the gap that the header implies does not fit the page, but another whole number of rows does.

    Raises
    ------
    FormatError
        If no gap makes the scanfields fit the page.
    """
    regions, um_per_deg = list(_enabled_regions(header)), header.positive("SI.objectiveResolution")
    resolutions = [_resolution(header, region.scanfields[0]) for region in regions]
    heights = [page_shape[0]] if len(regions) == 1 else [rows for _, rows in resolutions]
    gap = _gap_rows(header, heights, page_shape[0]) if len(regions) > 1 else 0
    scanfields, start = [], 0
    for region, resolution, height in zip(regions, resolutions, heights, strict=True):
        (field, *_), span = region.scanfields, (start, start + height)
        size_um, center_um = _place(header, field, um_per_deg) if um_per_deg else (None, None)
        angle = _real(header, field, "rotationDegrees", 0.0)
        scanfields.append(Scanfield(region.name, span, size_um, center_um, resolution, region.z, angle))
        start += height + gap
    return tuple(scanfields)


def _field_of_view(
    size_um: tuple[float, float], center_um: tuple[float, float], rotation_deg: float, page_shape: tuple[int, int]
) -> FieldOfView:
    """Return the field of view with the pixel size of the page as stored."""
    height, width = page_shape
    return FieldOfView(size_um, center_um, (size_um[0] / width, size_um[1] / height), rotation_deg)


def _field_of_view_of_region(
    header: ScanImageHeader, region: _Region, um_per_deg: float, page_shape: tuple[int, int]
) -> FieldOfView | None:
    """Return the field of view that all scanfields of a ROI share, None if they differ."""
    places = {
        (*_place(header, field, um_per_deg), _real(header, field, "rotationDegrees", 0.0))
        for field in region.scanfields
    }
    return _field_of_view(*places.pop(), page_shape) if len(places) == 1 else None


def _field_of_view_from_corners(corners: list[tuple[float, float]], page_shape: tuple[int, int]) -> FieldOfView:
    """Return the field of view whose corners run around it, first along x; it may be rotated."""
    (x0, y0), (x1, y1), (x2, y2), _ = corners
    size_um = (math.hypot(x1 - x0, y1 - y0), math.hypot(x2 - x1, y2 - y1))
    center_um = (sum(x for x, _ in corners) / 4, sum(y for _, y in corners) / 4)
    return _field_of_view(size_um, center_um, math.degrees(math.atan2(y1 - y0, x1 - x0)), page_shape)


def _gap_rows(header: ScanImageHeader, heights: list[int], page_rows: int) -> int:
    """Return the rows between scanfields: what the header implies, else what the page leaves."""
    implied = _implied_gap_rows(header)
    left, n_gaps = page_rows - sum(heights), len(heights) - 1
    if implied is not None and implied * n_gaps == left:
        return implied
    if left < 0 or left % n_gaps:
        raise FormatError(
            f"{header.source}: {len(heights)} scanfields of {heights} rows do not fit a page of {page_rows} rows; "
            f"expected a gap of {implied} rows between them. Read the whole page instead"
        )
    if implied is not None:
        warnings.warn(
            f"{header.source}: the header implies gaps of {implied} rows between scanfields, but the page of "
            f"{page_rows} rows leaves {left // n_gaps}; the page is believed",
            ScanImageNwbWarning,
            stacklevel=3,
        )
    return left // n_gaps


def _implied_gap_rows(header: ScanImageHeader) -> int | None:
    """Return the lines that pass between scanfields, None if the header does not say."""
    if header.get("SI.hScan2D.scanMode", "resonant") != "resonant":
        return 0
    fly_s, line_s = header.number("SI.hScan2D.flytoTimePerScanfield"), header.positive("SI.hRoiManager.linePeriod")
    if fly_s is None or line_s is None or not 0 <= fly_s < math.inf:
        return None
    # Six decimals: 0.001 / 0.0001 must not become 10.000000000000002 and then 12 lines.
    return 2 * math.ceil(round(fly_s / line_s, 6) / 2)


def _enabled_regions(header: ScanImageHeader) -> Iterator[_Region]:
    """Yield the ROIs of the imaging group that have an enabled scanfield."""
    group = (header.roi_groups or {}).get("imagingRoiGroup")
    n_found = 0
    for roi in _objects(group, "rois"):
        scanfields = tuple(field for field in _objects(roi, "scanfields") if _is_enabled(field))
        if not (_is_enabled(roi) and scanfields):
            continue
        n_found += 1
        zs = roi.get("zs")
        z = zs[0] if isinstance(zs, list) and len(zs) == 1 else zs
        name = scanfields[0].get("name") or roi.get("name") or f"Scanfield {n_found}"
        yield _Region(str(name), scanfields, float(z) if _is_number(z) else None)


def _objects(parent: Any, key: str) -> list[dict[str, Any]]:
    """Return the children of a JSON object: MATLAB writes one as an object, several as a list."""
    children = parent.get(key) if isinstance(parent, dict) else None
    children = children if isinstance(children, list) else [children]
    return [child for child in children if isinstance(child, dict) and "_ArrayType_" not in child]


def _is_enabled(item: dict[str, Any]) -> bool:
    """Tell whether a ROI or scanfield is enabled; those that do not say are."""
    return bool(item.get("enable", True))


def _is_number(value: Any) -> TypeGuard[float]:
    """Tell whether a value is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300


def _real(header: ScanImageHeader, scanfield: dict[str, Any], key: str, default: float) -> float:
    """Return a number of a scanfield."""
    value = scanfield.get(key, default)
    if not _is_number(value):
        raise FormatError(f"{header.source}: {key} of a scanfield in the ROI JSON is {value!r}, expected a number")
    return float(value)


def _pair(header: ScanImageHeader, scanfield: dict[str, Any], key: str, scale: float) -> tuple[float, float]:
    """Return a pair of numbers of a scanfield, times `scale`."""
    value = scanfield.get(key)
    if not isinstance(value, list) or len(value) != 2 or not all(_is_number(item) for item in value):
        raise FormatError(f"{header.source}: {key} of a scanfield in the ROI JSON is {value!r}, expected two numbers")
    return float(value[0] * scale), float(value[1] * scale)


def _place(
    header: ScanImageHeader, scanfield: dict[str, Any], um_per_deg: float
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return size and centre of a scanfield in microns."""
    return _pair(header, scanfield, "sizeXY", um_per_deg), _pair(header, scanfield, "centerXY", um_per_deg)


def _resolution(header: ScanImageHeader, scanfield: dict[str, Any]) -> tuple[int, int]:
    """Return columns and rows of a scanfield."""
    columns, rows = _pair(header, scanfield, "pixelResolutionXY", 1)
    if columns < 1 or rows < 1 or columns % 1 or rows % 1:
        raise FormatError(f"{header.source}: a scanfield in the ROI JSON has {columns} x {rows} pixels")
    return int(columns), int(rows)


def _corners(header: ScanImageHeader, key: str, scale: float) -> list[tuple[float, float]] | None:
    """Return the four corners (x, y) of the field of view, None if the header lacks them or says NaN."""
    rows = as_list(header.get(key, []))
    if not rows:
        return None
    if len(rows) != 4 or any(not isinstance(row, list) or len(row) != 2 for row in rows):
        raise header.error(key, "four corners such as [-9 -9;9 -9;9 9;-9 9]")
    if not all(_is_number(item) for row in rows for item in row):
        return None
    return [(row[0] * scale, row[1] * scale) for row in rows]
