"""How photons were timed: settings and instrument response."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pynwb import docval, register_class

from ndx_flim._generated import generated, is_read, with_defaults

__all__ = ["InstrumentResponse", "TCSPCSettings"]

InstrumentResponse = generated("InstrumentResponse")
_GeneratedSettings: Any = generated("TCSPCSettings")


@register_class("TCSPCSettings", "ndx-flim")
class TCSPCSettings(_GeneratedSettings):
    """How the photons of one detector channel were timed; see the specification for each field.

    Examples
    --------
    >>> settings = TCSPCSettings(name="TCSPCSettings", num_bins=2, repetition_rate=80e6, tcspc_resolution=2.0**-28)
    >>> settings.period_s, settings.bin_edges.tolist()
    (1.25e-08, [0.0, 3.725290298461914e-09, 7.450580596923828e-09])
    """

    @docval(*with_defaults(_GeneratedSettings))
    def __init__(self, **kwargs: Any) -> None:
        for name in ("repetition_rate", "tcspc_resolution", "num_bins"):
            if not 0 < kwargs[name] < np.inf and not is_read(self):
                raise ValueError(f"{name} is {kwargs[name]}; expected a number above 0, in hertz and seconds")
        super().__init__(**kwargs)

    @property
    def period_s(self) -> float:
        """Time between two pulses of the excitation in seconds."""
        return 1 / float(self.repetition_rate)

    @property
    def bin_edges(self) -> NDArray[np.float64]:
        """Edges of the delay bins in seconds, shape (num_bins + 1,)."""
        first = 0.0 if self.time_offset is None else float(self.time_offset)
        return np.arange(int(self.num_bins) + 1, dtype=np.float64) * float(self.tcspc_resolution) + first
