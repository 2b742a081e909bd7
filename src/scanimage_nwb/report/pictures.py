"""Pictures as data URIs: images pixel by pixel as PNG, drawings as SVG."""

import base64
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scanimage_nwb.report.parts import Picture

__all__ = ["COLORS", "contrast", "draw", "gray_picture", "rgb_picture", "round_length", "shrunk"]

COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
"""Okabe and Ito's, which people with any colour vision tell apart."""
_MOST_PIXELS = 512 * 512
_FONT = {
    "font.size": 12,
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": None,
    "axes.formatter.useoffset": False,
}
"""Text stays text, so that it is sharp at every size."""


def draw(alt: str, caption: str = "", *, height: float = 2.6, width: float = 5.6, rows: int = 1) -> "Drawing":
    """Begin a drawing; see `Drawing`.

    Parameters
    ----------
    alt, caption : str
        As of `Picture`.
    height, width : float
        Inches; 5.6 stay readable on a telephone.
    rows : int
        Axes, one above the other, that share x.

    Returns
    -------
    Drawing
    """
    return Drawing(alt, caption, height, width, rows)


class Drawing:
    """A figure that becomes a picture: draw on `axes`, then call `picture`."""

    def __init__(self, alt: str, caption: str, height: float, width: float, rows: int) -> None:
        import matplotlib as mpl
        from cycler import cycler
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator

        self.alt, self.caption = alt, caption
        self._style = {**_FONT, "axes.prop_cycle": cycler(color=COLORS)}
        with mpl.rc_context(self._style):
            self.figure = Figure(figsize=(width, height), layout="constrained")
            self.axes: list[Any] = list(self.figure.subplots(rows, 1, sharex=True, squeeze=False)[:, 0])
            self.axes[-1].xaxis.set_major_locator(MaxNLocator(6))  # room for numbers such as 1563.5

    def legend(self) -> None:
        """Name the lines above the axes, where no line is."""
        above = {"loc": "lower left", "bbox_to_anchor": (0, 1.0), "borderaxespad": 0.2}
        self.axes[0].legend(**above, fontsize=10, ncols=4, frameon=False, columnspacing=1.2)

    def picture(self, *, as_png: bool = False) -> Picture:
        """Return the picture; as PNG where it holds images or very many lines."""
        import matplotlib as mpl

        out = io.BytesIO()
        with mpl.rc_context(self._style):
            if as_png:
                self.figure.savefig(out, format="png", dpi=150)
            else:
                self.figure.savefig(out, format="svg", metadata={"Date": None})
        kind = "png" if as_png else "svg+xml"
        return Picture(_data_uri(out.getvalue(), kind), self.alt, self.caption)


def contrast(image: NDArray, low: float = 1.0, high: float = 99.7) -> tuple[float, float]:
    """Return the values to show as black and as white, robust against few bright or dark pixels.

    Parameters
    ----------
    image : ndarray
        Any shape; NaN is left out.
    low, high : float
        Percentiles.

    Returns
    -------
    tuple of float

    Examples
    --------
    >>> image = np.r_[np.arange(1000.0), 1e9]
    >>> [round(value) for value in contrast(image)]
    [10, 997]
    >>> contrast(np.full(4, 7.0))
    (7.0, 8.0)
    """
    finite = image[np.isfinite(image)]
    if not finite.size:
        return 0.0, 1.0
    black, white = (float(value) for value in np.percentile(finite, (low, high)))
    if white <= black:
        black, white = float(finite.min()), float(finite.max())
    return black, white if white > black else black + 1


def shrunk(image: NDArray, most_pixels: int = _MOST_PIXELS) -> NDArray:
    """Return an image of at most so many pixels, each the mean of a square (of thin images, a bar) of the original's.

    Examples
    --------
    >>> shrunk(np.arange(16.0).reshape(4, 4), 4).tolist()
    [[2.5, 4.5], [10.5, 12.5]]
    """
    rows, columns = image.shape[:2]
    if rows * columns <= most_pixels:
        return image
    step_y = min(rows, int(np.ceil(np.sqrt(rows * columns / most_pixels))))
    step_x = min(columns, int(np.ceil(rows // step_y * columns / most_pixels)))
    rows, columns = rows // step_y, columns // step_x
    cut = image[: rows * step_y, : columns * step_x]
    means: NDArray = cut.reshape(rows, step_y, columns, step_x, *image.shape[2:]).mean(axis=(1, 3))
    return means


def gray_picture(
    image: NDArray,
    alt: str,
    caption: str = "",
    *,
    limits: tuple[float, float] | None = None,
    pixel_um: float | None = None,
    most_pixels: int = _MOST_PIXELS,
) -> Picture:
    """Return an image (rows, columns) in gray.

    Parameters
    ----------
    image : ndarray, shape (rows, columns)
        Values.
    alt, caption : str
        As of `Picture`.
    limits : tuple of float, optional
        Values that are black and white; by default `contrast`.
    pixel_um : float, optional
        Width of a pixel in micrometres, for a scale bar.
    most_pixels : int
        Larger images are shrunk.

    Returns
    -------
    Picture
    """
    small = shrunk(np.asarray(image, np.float64), most_pixels)
    black, white = limits or contrast(small)
    gray = (np.nan_to_num((small - black) / (white - black)).clip(0, 1) * 255).astype(np.uint8)
    return rgb_picture(np.repeat(gray[..., None], 3, axis=-1), alt, caption, pixel_um=pixel_um, width=image.shape[1])


def rgb_picture(
    rgb: NDArray[np.uint8], alt: str, caption: str = "", *, pixel_um: float | None = None, width: int | None = None
) -> Picture:
    """Return an image (rows, columns, 3) as it is; `width` is that of the original in pixels of `pixel_um`."""
    from matplotlib.image import imsave

    out = io.BytesIO()
    imsave(out, np.ascontiguousarray(rgb), format="png")
    percent, label = None, ""
    if pixel_um is not None and 0 < pixel_um < np.inf:
        whole_um = pixel_um * (width or rgb.shape[1])
        length_um = round_length(whole_um / 4)
        percent = 100 * length_um / whole_um
        label = f"{length_um:g} µm" if length_um < 1000 else f"{length_um / 1000:g} mm"
    return Picture(_data_uri(out.getvalue(), "png"), alt, caption, percent, label, is_crisp=True)


def round_length(length: float) -> float:
    """Return 1, 2 or 5 times a power of ten, not above a length.

    Examples
    --------
    >>> round_length(37), round_length(0.19)
    (20.0, 0.1)
    """
    power = 10.0 ** np.floor(np.log10(length))
    return float(max(factor * power for factor in (1, 2, 5) if factor * power <= length * (1 + 1e-9)))


def _data_uri(content: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"
