"""Fits of decays as a table."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from pynwb import get_class, register_class
from pynwb.core import DynamicTableRegion, VectorData

from ndx_flim._generated import generated

__all__ = ["LifetimeFitTable"]

_GeneratedTable: Any = generated("LifetimeFitTable")
_UNITS = {
    "lifetime": "seconds",
    "lifetime_error": "seconds",
    "fraction": "fraction",
    "fraction_error": "fraction",
    "irf_center": "seconds",
    "irf_sigma": "seconds",
    "background": "fraction",
    "photon_count": "photons",
    "reduced_chi_squared": "dimensionless",
    "reduced_deviance": "dimensionless",
    "log_likelihood": "dimensionless",
    "start_time": "seconds",
    "stop_time": "seconds",
}
"""Columns with a unit."""
_TYPES = {"photon_count": np.uint64, "converged": np.bool_, "plane": np.int32}
_PER_COMPONENT = ("lifetime", "lifetime_error", "fraction", "fraction_error")
_PLAIN = ("converged", "channel", "plane")


@register_class("LifetimeFitTable", "ndx-flim")
class LifetimeFitTable(_GeneratedTable):
    """Fits of decays, one a row; see the specification for each column. Make it with `from_arrays`."""

    @classmethod
    def from_arrays(
        cls,
        *,
        model: str,
        estimator: str,
        tcspc_settings: Any,
        lifetime: ArrayLike,
        fraction: ArrayLike,
        photon_count: ArrayLike,
        name: str = "LifetimeFitTable",
        description: str = "Fits of fluorescence decays.",
        roi: Any = None,
        source: Any = None,
        **columns: ArrayLike,
    ) -> "LifetimeFitTable":
        """Make a table of columns given as arrays; units are those of the specification.

        Parameters
        ----------
        model, estimator : str
            What was fitted, and how.
        tcspc_settings : TCSPCSettings
            How the photons were timed.
        lifetime, fraction : array-like, shape (num_fits, num_components)
            Seconds, and shares of the photons; NaN where a fit has fewer components.
        photon_count : array-like, shape (num_fits,)
            Photons that were fitted.
        name, description : str
            Of the table.
        roi : DynamicTableRegion, optional
            Row of a PlaneSegmentation for each fit.
        source : optional
            Histograms or photons that were fitted.
        **columns
            Other columns of the specification, by name.

        Returns
        -------
        LifetimeFitTable

        Raises
        ------
        TypeError
            If there is no column of a name.
        ValueError
            If a column is of another length, or of another number of components.

        Examples
        --------
        >>> from ndx_flim import TCSPCSettings
        >>> settings = TCSPCSettings(name="tcspc", num_bins=629, repetition_rate=80e6, tcspc_resolution=2e-11)
        >>> table = LifetimeFitTable.from_arrays(
        ...     model="two exponentials", estimator="poisson_maximum_likelihood", tcspc_settings=settings,
        ...     lifetime=[[0.6e-9, 2.6e-9]], fraction=[[0.4, 0.6]], photon_count=[100_000], reduced_deviance=[1.02])
        >>> table["lifetime"].unit, table["lifetime"][0].tolist()
        ('seconds', [6e-10, 2.6e-09])
        """
        given = {"lifetime": lifetime, "fraction": fraction, "photon_count": photon_count, **columns}
        unknown = sorted(set(given) - {*_UNITS, *_PLAIN})
        if unknown:
            raise TypeError(f"there is no column {unknown[0]!r}; expected one of {', '.join([*_UNITS, *_PLAIN])}")
        shape = np.shape(lifetime)
        made = [_column(key, values, shape) for key, values in given.items()]
        if roi is not None:
            if not isinstance(roi, DynamicTableRegion) or roi.name != "roi" or len(roi) != shape[0]:
                raise ValueError(f"roi is {roi!r}; expected a DynamicTableRegion named 'roi' of {shape[0]} rows")
            made.append(roi)
        links = {} if source is None else {"source": source}
        return cls(
            name=name,
            description=description,
            model=model,
            estimator=estimator,
            tcspc_settings=tcspc_settings,
            columns=made,
            **links,
        )


def _column(name: str, values: ArrayLike, shape: tuple[int, ...]) -> VectorData:
    """Make one column; its values must fit the lifetimes."""
    found = np.asarray(values)
    if name != "channel":
        found = found.astype(_TYPES.get(name, np.float64))
    expected = shape if name in _PER_COMPONENT else shape[:1]
    if found.shape != expected or len(shape) != 2:
        raise ValueError(f"{name} has shape {found.shape}; expected {expected}, that of lifetime (fits, components)")
    columns = {column["name"]: column["description"] for column in LifetimeFitTable.__columns__}
    data = found.tolist() if name == "channel" else found
    if name in _UNITS:
        quantity = get_class("QuantityVectorData", "ndx-flim")
        return quantity(name=name, description=columns[name], data=data, unit=_UNITS[name])
    return VectorData(name=name, description=columns[name], data=data)
