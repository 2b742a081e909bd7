"""A picture of a registration: shifts over time, references, and the mean before and after."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scanimage_nwb.registration.info import RegistrationInfo

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw_registration"]


def draw_registration(
    info: RegistrationInfo, before: NDArray | None = None, after: NDArray | None = None, path: str | Path | None = None
) -> "Figure":
    """Draw shifts over time, the reference of each plane, and the mean of its frames before and after.

    Parameters
    ----------
    info : RegistrationInfo
        What was found.
    before, after : ndarray, shape (planes, rows, columns), optional
        Mean of the frames as recorded, and shifted.
    path : path-like, optional
        Where to save the picture; its suffix says in which format.

    Returns
    -------
    matplotlib.figure.Figure
        Belongs to no window.

    Raises
    ------
    ImportError
        If matplotlib is not installed.

    Examples
    --------
    >>> info = RegistrationInfo.from_shifts({0: (0, 0), 1: (2, -1)}, shape=(8, 8), reference_frames=np.ones((1, 8, 8)))
    >>> len(draw_registration(info, before=np.ones((1, 8, 8))).axes)
    4
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("a picture needs matplotlib: python -m pip install matplotlib") from error
    columns = [
        (title, images)
        for title, images in (("reference", info.reference_frames), ("mean before", before), ("mean after", after))
        if images is not None and len(images)
    ]
    n_planes = max((len(images) for _, images in columns), default=0)
    figure = Figure(figsize=(9, 3.6 + 2.4 * n_planes), layout="constrained")
    grid = figure.add_gridspec(2 + n_planes, max(len(columns), 1), height_ratios=[1, 1] + [1.6] * n_planes)
    for axis, name in enumerate(("dy (px)", "dx (px)")):
        _draw_shifts(figure.add_subplot(grid[axis, :]), info, axis, name)
    for column, (title, images) in enumerate(columns):
        for plane, image in enumerate(images):
            axes = figure.add_subplot(grid[2 + plane, column])
            axes.imshow(image, cmap="gray", vmin=np.quantile(image, 0.01), vmax=np.quantile(image, 0.995))
            axes.set_title(f"{title}, plane {plane}" if n_planes > 1 else title, fontsize=9)
            axes.set_axis_off()
    if path is not None:
        figure.savefig(path, dpi=120)
    return figure


def _draw_shifts(axes: Any, info: RegistrationInfo, axis: int, name: str) -> None:
    """Draw the shifts of every plane along one axis, and mark the flagged frames."""
    for plane in np.unique(info.plane):
        own = info.plane == plane
        axes.plot(info.volume[own], info.shifts[own, axis], linewidth=0.7, label=f"plane {plane}")
    if info.is_bad.any():
        axes.plot(info.volume[info.is_bad], info.shifts[info.is_bad, axis], "rx", markersize=4, label="flagged")
    axes.set_ylabel(name)
    axes.set_xlabel("volume" if axis else "")
    if axis == 0:
        axes.legend(fontsize=7, loc="upper right", ncols=4)
