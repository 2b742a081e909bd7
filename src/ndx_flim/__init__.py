"""NWB types for fluorescence lifetime imaging (FLIM); see README.md beside this file for each with an example.

Importing this package registers the types with pynwb. Files hold a copy of the specification, so that plain pynwb
reads them without this package.
"""

from pathlib import Path

from pynwb import get_class, load_namespaces

load_namespaces(str(Path(__file__).parent / "spec" / "ndx-flim.namespace.yaml"))

# what follows needs the namespace
from ndx_flim.fits import LifetimeFitTable  # noqa: E402
from ndx_flim.photons import PhotonEventSeries, pixels_from_steps, steps_from_pixels  # noqa: E402
from ndx_flim.series import (  # noqa: E402
    LifetimeImageSeries,
    PhasorSeries,
    PhotonHistogram,
    PhotonHistogramSeries,
)
from ndx_flim.settings import InstrumentResponse, TCSPCSettings  # noqa: E402

__version__ = "0.1.0"

__all__ = [
    "InstrumentResponse",
    "LifetimeFitTable",
    "LifetimeImageSeries",
    "PhasorSeries",
    "PhotonEventSeries",
    "PhotonHistogram",
    "PhotonHistogramSeries",
    "QuantityVectorData",
    "TCSPCSettings",
    "pixels_from_steps",
    "steps_from_pixels",
]

QuantityVectorData = get_class("QuantityVectorData", "ndx-flim")
