"""Histograms, lifetime images and phasors: generated classes whose only possible unit need not be given."""

from typing import Any

import numpy as np
from hdmf.utils import get_data_shape
from numpy.typing import NDArray
from pynwb import docval, register_class

from ndx_flim._generated import check_unit, generated, is_read, with_defaults

__all__ = ["LifetimeImageSeries", "PhasorSeries", "PhotonHistogram", "PhotonHistogramSeries"]

_GeneratedHistogramSeries: Any = generated("PhotonHistogramSeries")
_GeneratedHistogram: Any = generated("PhotonHistogram")
_GeneratedLifetime: Any = generated("LifetimeImageSeries")
_GeneratedPhasor: Any = generated("PhasorSeries")


def _check_bins(container: Any, fields: dict[str, Any]) -> None:
    """Refuse edges that do not go with the last axis of the histograms."""
    shape = get_data_shape(fields["data"] if "data" in fields else fields["counts"])
    edges = fields["bin_edges"]
    if is_read(container):
        return
    if shape and shape[-1] is not None and len(edges) != shape[-1] + 1:
        raise ValueError(
            f"{fields['name']}: bin_edges has {len(edges)} values; expected {shape[-1] + 1}, one more than the last "
            "axis of histograms"
        )
    if not (np.diff(np.asarray(edges, np.float64)) > 0).all():
        raise ValueError(f"{fields['name']}: bin_edges do not ascend; expected the edges of all bins in seconds")


def _centers(bin_edges: Any) -> NDArray[np.float64]:
    edges = np.asarray(bin_edges, np.float64)
    return (edges[1:] + edges[:-1]) / 2


@register_class("PhotonHistogramSeries", "ndx-flim")
class PhotonHistogramSeries(_GeneratedHistogramSeries):
    """Histograms of photon arrival times over time; see the specification for each field."""

    @docval(*with_defaults(_GeneratedHistogramSeries, unit="photons"))
    def __init__(self, **kwargs: Any) -> None:
        check_unit(self, kwargs, "photons")
        _check_bins(self, kwargs)
        super().__init__(**kwargs)

    @property
    def bin_centers(self) -> NDArray[np.float64]:
        """Centres of the bins of delay time in seconds, shape (num_bins,)."""
        return _centers(self.bin_edges)


@register_class("PhotonHistogram", "ndx-flim")
class PhotonHistogram(_GeneratedHistogram):
    """Histograms of photon arrival times, added up over a span of time; see the specification for each field."""

    @docval(*with_defaults(_GeneratedHistogram))
    def __init__(self, **kwargs: Any) -> None:
        _check_bins(self, kwargs)
        super().__init__(**kwargs)

    @property
    def bin_centers(self) -> NDArray[np.float64]:
        """Centres of the bins of delay time in seconds, shape (num_bins,)."""
        return _centers(self.bin_edges)


@register_class("LifetimeImageSeries", "ndx-flim")
class LifetimeImageSeries(_GeneratedLifetime):
    """Lifetime of each pixel over time, in seconds; see the specification for each field."""

    @docval(*with_defaults(_GeneratedLifetime, unit="seconds"))
    def __init__(self, **kwargs: Any) -> None:
        check_unit(self, kwargs, "seconds")
        super().__init__(**kwargs)


@register_class("PhasorSeries", "ndx-flim")
class PhasorSeries(_GeneratedPhasor):
    """Phasor coordinates over time at one harmonic; see the specification for each field."""

    @docval(*with_defaults(_GeneratedPhasor, unit="dimensionless"))
    def __init__(self, **kwargs: Any) -> None:
        check_unit(self, kwargs, "dimensionless")
        shape = get_data_shape(kwargs["data"])
        if shape and shape[-1] != 2 and not is_read(self):
            raise ValueError(f"{kwargs['name']}: data has shape {shape}; expected g and s along the last axis")
        super().__init__(**kwargs)

    @property
    def g(self) -> Any:
        """Real part, without the last axis of `data`."""
        return self.data[..., 0]

    @property
    def s(self) -> Any:
        """Imaginary part, without the last axis of `data`."""
        return self.data[..., 1]
