"""Rigid motion: found, kept, and read from other programs. Arrays in, arrays out.

Layout: `registering` holds `register`; `source` what frames come from, `counts` how values become counts, `template`
and `surfaces` the comparison, `motion` the temporal prior and what planes share, `sensor` what stays put while the
scene moves, `reference` the rounds, `aligning` the pass over all frames; `phase` and `by_suite2p` other methods; `info`
the result, `importing` other programs' results.
"""

from scanimage_nwb.registration.importing import read_caiman, read_registration, read_suite2p
from scanimage_nwb.registration.info import RegistrationInfo
from scanimage_nwb.registration.quality import FLAGS
from scanimage_nwb.registration.registering import METHODS, register
from scanimage_nwb.registration.source import ArraySource, FrameSource

__all__ = [
    "FLAGS",
    "METHODS",
    "ArraySource",
    "FrameSource",
    "RegistrationInfo",
    "read_caiman",
    "read_registration",
    "read_suite2p",
    "register",
]
