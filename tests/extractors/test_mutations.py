"""Damaged bytes: an error of ours or a warning, never another exception, a crash or a hang."""

import random
import re
import time
import warnings

import numpy as np
import pytest

from scanimage_nwb import (
    ScanImageImagingExtractor,
    ScanImageLegacyImagingExtractor,
    extract_extra_metadata,
    extract_timestamps_from_file,
    open_recording,
    read_scanimage_metadata,
)
from scanimage_nwb.errors import ScanImageNwbError, ScanImageNwbWarning
from scanimage_nwb.testing import (
    resave_without_magic,
    write_legacy_recording,
    write_scanimage_recording,
    write_si5_recording,
)

N_MUTANTS = 60
"""For each kind of file; six kinds."""
SECONDS = 2.0


def sources(folder):
    """Return one small sound file of each kind."""
    volumes = {"n_channels": 2, "n_planes": 2, "n_flyback": 1, "n_volumes": 3, "shape": (6, 4)}
    modern = write_scanimage_recording(folder, name="modern", text_padding=0, **volumes).paths[0]
    resaved, big = folder / "resaved.tif", folder / "resaved_big.tif"
    resave_without_magic(modern, resaved, strips_per_page=3)
    resave_without_magic(modern, big, strips_per_page=3, big=True)
    return {
        "modern": modern,
        "json": write_scanimage_recording(folder, name="json", header_format="json", **volumes).paths[0],
        "resaved": resaved,
        "resaved_big": big,
        "si5": write_si5_recording(folder / "si5.tif", n_frames=4, channels=(1, 2)).paths[0],
        "legacy": write_legacy_recording(folder / "legacy.tif").paths[0],
    }


def mutated(data: bytes, rng: random.Random) -> bytes:
    """Flip bits, overwrite integers, cut, or splice one part of the file over another."""
    data = bytearray(data)
    kind = rng.choice(["flip", "flip", "many", "integer", "cut", "splice", "remove", "digits"])
    at = rng.randrange(len(data))
    if kind in ("flip", "many"):
        for _ in range(1 if kind == "flip" else rng.choice([10, 300])):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    elif kind == "integer":
        width = rng.choice([2, 4, 8])
        value = rng.choice(
            [0, 1, 2 ** (8 * width) - 1, 2 ** (8 * width - 1), len(data), rng.randrange(2 ** (8 * width))]
        )
        data[at : at + width] = (value % 2 ** (8 * width)).to_bytes(width, "little")
    elif kind == "cut":
        del data[at:]
    elif kind == "splice":
        length, source = rng.choice([8, 20, 200, 3000]), rng.randrange(len(data))
        data[at : at + length] = data[source : source + length]
    elif kind == "remove":
        del data[at : at + rng.choice([1, 4, 100])]
    else:
        places = [i for i, byte in enumerate(data) if 48 <= byte <= 57]
        for i in rng.sample(places, 5):
            data[i : i + 1] = rng.choice([b"9", b"0", b"-", b"e", b"Inf", b"NaN", b"99999999999999999999", b"[", b"'"])
    return bytes(data)


def use(path):
    """Do with a file what a user would; return the number of samples that were read."""
    extractor = None
    for options in ({}, {"channel_name": "Channel 1"}, {"channel_name": "Channel 1", "slice_sample": 0}):
        try:
            extractor = ScanImageImagingExtractor(path, **options)
            break
        except ScanImageNwbError:
            raise
        except ValueError as error:  # what has to be chosen may follow from a damaged header
            last = error
    if extractor is None:
        raise last
    series = extractor.get_series()
    assert len(series) == extractor.get_num_samples() == len(extractor.get_original_frame_indices())
    times = extractor.get_native_timestamps()
    assert times is None or len(times) == len(series)
    extractor.get_sampling_frequency()
    repr(extractor)
    return len(series)


def outcome_of(function, path):
    """Return "read", "refused", or what went wrong."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ScanImageNwbWarning)
        try:
            function(path)
        except ScanImageNwbError:
            return "refused"
        except Exception as error:  # noqa: BLE001 - what no reader may raise is what the test looks for
            is_choice = isinstance(error, ValueError) and re.search("choose one|is not in", str(error))
            is_documented = isinstance(error, AssertionError) and "frameTimestamps_sec not found" in str(error)
            return "refused" if is_choice or is_documented else repr(error)
        return "read"


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return sources(tmp_path_factory.mktemp("sound"))


@pytest.mark.parametrize("kind", ["modern", "json", "resaved", "resaved_big", "si5", "legacy"])
def test_mutants(sound, kind, tmp_path):
    data = sound[kind].read_bytes()
    path = tmp_path / "mutant.tif"
    read = {
        "use": use,
        "legacy": lambda p: ScanImageLegacyImagingExtractor(p, 1.0).get_series(),
        "metadata": read_scanimage_metadata,
        "extra": extract_extra_metadata,
        "timestamps": extract_timestamps_from_file,
    }
    outcomes = {"read": 0, "refused": 0}
    for seed in range(N_MUTANTS):
        path.write_bytes(mutated(data, random.Random(f"{kind} {seed}")))
        started = time.process_time()
        for name, function in read.items():
            outcome = outcome_of(function, path)
            assert outcome in outcomes, f"mutant {kind} {seed} in {name}: {outcome}"
            outcomes[outcome] += 1
        assert time.process_time() - started < SECONDS, f"{kind} {seed}"
    assert min(outcomes.values()) > 5, outcomes


def test_mutants_of_pixels_and_texts_keep_every_other_page(tmp_path):
    """Bits flipped in the pixels of one page change that page alone, and nothing is said."""
    truth = write_scanimage_recording(tmp_path, n_channels=2, shape=(6, 4))
    recording = open_recording(truth.paths[0])
    data = bytearray(truth.paths[0].read_bytes())
    data[int(recording.tables[0].offset[7]) + 5] ^= 0x40
    truth.paths[0].write_bytes(data)
    pixels = open_recording(truth.paths[0]).read_pages(np.arange(20))
    changed = np.flatnonzero((pixels != truth.pages).any(axis=(1, 2)))
    assert changed.tolist() == [7]
