"""Make the pictures of the README: a report on the demo session, seen in Chromium.

    python .readme/make_pictures.py [FOLDER]

Writes into FOLDER, by default the one of this file. Needs the extras `report` and `test`, and Chromium.
"""

import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import tifffile
import yaml
from scipy.ndimage import gaussian_filter, label

from scanimage_nwb import ScanImageImagingExtractor
from scanimage_nwb.nwb.session import convert_session, write_session_file
from scanimage_nwb.report import write_report
from scanimage_nwb.siff_reader import SiffReader
from scanimage_nwb.testing import write_demo_session

PARTS = {
    "images": "TwoPhotonSeriesTiffChannel1",
    "lifetime": "PhotonEventSeriesSiffChannel1",
    "rois": "ImageSegmentation / PlaneSegmentation",
}
"""Section of the page, whose name its picture has, and title of the part of it that is shown."""
WIDTH, MARGIN = 1180, 10
FIND_PART = """([section, title]) => {
    const headings = [...document.querySelectorAll("h3, h2, footer")];
    const rank = headings.findIndex(one => one.textContent === title && one.closest("#" + section));
    const top = headings[rank].getBoundingClientRect().top + window.scrollY;
    return [top, headings[rank + 1].getBoundingClientRect().top + window.scrollY];
}"""
KNOWN = {
    "NWBFile": {
        "session_id": "20250424-1",
        "experimenter": ["Doe, Jane"],
        "institution": "Example University",
        "experiment_description": "Calcium imaging of layer 2/3 neurons during rest.",
        "keywords": ["two-photon", "calcium imaging"],
    },
    "Subject": {
        "subject_id": "m42",
        "species": "Mus musculus",
        "sex": "F",
        "age": "P90D",
        "description": "Adult mouse.",
    },
    "Ophys": {
        "ImagingPlanes": {"*": {"location": "Primary visual area", "indicator": "GCaMP8m", "excitation_lambda": 920.0}}
    },
}


def draw_masks(recording: Path) -> np.ndarray:
    """Return a label image of the bright cells of a recording, planes first."""
    mean = ScanImageImagingExtractor(recording, channel_name="Channel 2").get_series().mean(axis=0)
    labels = np.zeros((mean.shape[2], *mean.shape[:2]), np.uint16)
    for plane in range(len(labels)):
        smooth = gaussian_filter(mean[..., plane], 1)
        found, n_found = label(smooth > smooth.min() + 0.3 * np.ptp(smooth))
        kept = [own for own in range(1, n_found + 1) if (found == own).sum() > 20]
        for own in kept:
            labels[plane][found == own] = labels.max() + 1
    return labels


def write_session(folder: Path) -> Path:
    """Write the demo session with masks and motion, convert all of it, and return the page about it."""
    session = write_demo_session(folder / "session")
    recording = session / "demo_00001_00001.tif"
    tifffile.imwrite(session / "masks.tif", draw_masks(recording), photometric="minisblack")
    reader = SiffReader(recording)
    reader.register(max_shift=3)
    assert reader.registration_info is not None
    reader.registration_info.save(session / "motion.h5")
    path = write_session_file(session, timezone="Europe/Berlin", metadata=KNOWN)
    described = yaml.safe_load(path.read_text().replace("???", ""))
    described["flim"] = [{"photons": True, "histograms": "field", "lifetime": True, "phasor": True}]
    path.write_text(yaml.safe_dump(described, sort_keys=False))
    made = convert_session(path, folder / "out", verify=True)
    return write_report(made.path, folder / "report.html", verified=made.checks)


def photograph(page_path: Path, folder: Path) -> list[Path]:
    """Take pictures of parts of a page, and return their paths."""
    from playwright.sync_api import sync_playwright

    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    made = []
    with sync_playwright() as tools:
        opened = tools.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        page = opened.new_page(viewport={"width": WIDTH, "height": 900})
        page.goto(page_path.as_uri())
        for name, title in PARTS.items():
            made.append(folder / f"{name}.png")
            top, bottom = page.evaluate(FIND_PART, [name, title])
            box = {"x": MARGIN, "y": top - MARGIN, "width": WIDTH - 2 * MARGIN, "height": bottom - top}
            page.screenshot(path=made[-1], clip=box, full_page=True)
        opened.close()
    return made


def main(folder: Path) -> None:
    """Make the pictures."""
    with tempfile.TemporaryDirectory() as work:
        for path in photograph(write_session(Path(work)), folder):
            print(f"{path.name}: {path.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
