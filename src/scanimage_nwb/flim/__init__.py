"""Fluorescence lifetimes of photon arrival histograms: arrays in, arrays out, seconds and hertz."""

from scanimage_nwb.flim.fit_report import DecayFit
from scanimage_nwb.flim.fitting import fit_decay
from scanimage_nwb.flim.fraction_fit import FractionFit, GlobalFit
from scanimage_nwb.flim.global_fit import fit_fractions, fit_global
from scanimage_nwb.flim.goodness import pooled_chi_square
from scanimage_nwb.flim.irf import irf_from_reference, irf_from_rising_edge, measured_irf
from scanimage_nwb.flim.lifetime import empirical_lifetime, mask_few_photons, mean_delay_of, median_filter
from scanimage_nwb.flim.model import DelayAxis, MeasuredIrf, component_responses, decay_model
from scanimage_nwb.flim.params import Exp, FLIMParams, Irf, Units
from scanimage_nwb.flim.phasor import (
    Phasor,
    PhasorLifetimes,
    calibrate_phasor,
    decay_phasor,
    filter_phasor,
    irf_phasor,
    lifetime_phasor,
    phasor_fractions,
    phasor_lifetimes,
)

__all__ = [
    "DecayFit",
    "DelayAxis",
    "Exp",
    "FLIMParams",
    "FractionFit",
    "GlobalFit",
    "Irf",
    "MeasuredIrf",
    "Phasor",
    "PhasorLifetimes",
    "Units",
    "calibrate_phasor",
    "component_responses",
    "decay_model",
    "decay_phasor",
    "empirical_lifetime",
    "filter_phasor",
    "fit_decay",
    "fit_fractions",
    "fit_global",
    "irf_from_reference",
    "irf_from_rising_edge",
    "irf_phasor",
    "lifetime_phasor",
    "mask_few_photons",
    "mean_delay_of",
    "measured_irf",
    "median_filter",
    "phasor_fractions",
    "phasor_lifetimes",
    "pooled_chi_square",
]
