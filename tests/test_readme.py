"""Every block of the README runs, in its order, as a newcomer would run it."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pynwb
import pytest
import tifffile
import yaml

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def blocks(language: str) -> list[str]:
    """Return the code blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def run(command: list[str], folder: Path) -> str:
    """Run a command in a folder and return what it prints; it must succeed."""
    scripts = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    result = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, env={**os.environ, "PATH": scripts}
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the conversion scripts, in which the README's demo command has been run."""
    folder = tmp_path_factory.mktemp("newcomer")
    (folder / "conversion_scripts").symlink_to(ROOT / "conversion_scripts")
    assert "conversion_scripts/convert_session.py" in blocks("sh")[0]
    run([sys.executable, "conversion_scripts/convert_session.py"], folder)
    (folder / "metadata.yaml").write_text(blocks("yaml")[0])
    return folder


def test_set_up_is_two_commands() -> None:
    install_and_demo, install_and_test = blocks("sh")
    assert install_and_demo.strip() == "python -m pip install -e . && python conversion_scripts/convert_session.py"
    assert install_and_test.strip() == 'python -m pip install -e ".[test]" && python -m pytest'


def test_examples_in_their_order(newcomer: Path) -> None:
    """The commands first, as the Python reads what they write."""
    commands = [line[2:] for block in blocks("console") for line in block.splitlines() if line.startswith("$ ")]
    assert len(commands) == 12
    for command in commands:
        words = shlex.split(command)
        run([sys.executable, *words[1:]] if words[0] == "python" else words, newcomer)
    for folder in ("sessions", "archive", "dandiset"):
        assert (newcomer / folder / "sub-m42" / "sub-m42_ses-20250424-1_ophys.nwb").is_file()
    page = newcomer / "sessions" / "sub-m42" / "sub-m42_ses-20250424-1_ophys.html"
    assert "TwoPhotonSeriesSiffChannel2" in page.read_text(encoding="utf-8")
    for name in ("demo.nwb", "photons.nwb", "moved.nwb"):
        assert (newcomer / name).is_file()
    with tifffile.TiffFile(newcomer / "counts.tif") as tiff:
        assert (len(tiff.pages), tiff.pages[0].shape) == (240, (64, 64))
        assert tiff.scanimage_metadata["FrameData"]["SI.VERSION_MAJOR"]
    assert len(blocks("python")) == 7
    printed = run([sys.executable, "-c", "\n".join(blocks("python"))], newcomer)
    assert "(40, 128, 96, 3) 7.5" in printed
    assert "('Y', 'X', 'H') (64, 64)" in printed
    assert "(2, 96, 128, 3)" in printed
    assert "(2, 64, 64) " in printed
    assert "(40, 2) (40, 2)" in printed
    assert "('odour on', 1.5), ('odour off', 2.5), ('cells look fine', None)" in printed
    with pynwb.NWBHDF5IO(newcomer / "with-treadmill.nwb", "r", load_namespaces=True) as io:
        assert {"Treadmill", "TwoPhotonSeriesTiffChannel1"} <= set(io.read().acquisition)


def test_pictures_are_there() -> None:
    linked = re.findall(r"!\[([^\]]+)\]\(([^)]+)\)", README)
    assert len(linked) == 3
    assert {path for _, path in linked} == {f".readme/{path.name}" for path in (ROOT / ".readme").glob("*.png")}
    for alternative, path in linked:
        assert len(alternative) > 20
        picture = plt.imread(ROOT / path)
        height, width = picture.shape[:2]
        assert min(height, width) > 300
        assert len(np.unique(picture[..., 0])) > 50, "nothing is to be seen"


@pytest.mark.skipif(not any(map(shutil.which, BROWSERS)), reason="no Chromium on this computer")
def test_pictures_are_made_by_the_code(tmp_path: Path) -> None:
    pytest.importorskip("playwright")
    printed = run([sys.executable, str(ROOT / ".readme" / "make_pictures.py"), str(tmp_path)], tmp_path)
    made = {path.name: plt.imread(path) for path in tmp_path.glob("*.png")}
    assert set(made) == {path.name for path in (ROOT / ".readme").glob("*.png")}
    assert len(printed.splitlines()) == len(made)
    for name, picture in made.items():
        ours = plt.imread(ROOT / ".readme" / name)
        # fonts, and so the breaks of lines, differ between computers
        assert picture.shape[1] == ours.shape[1]
        assert abs(picture.shape[0] - ours.shape[0]) < 80


def test_metadata_example_makes_a_file_without_violations(newcomer: Path) -> None:
    assert yaml.safe_load(blocks("yaml")[0])["Subject"]["subject_id"] == "m42"
    source = "scanimage-nwb-demo/session/demo_00001_00001.tif"
    command = ["scanimage-nwb", "convert", source, "-o", "described.nwb", "--metadata", "metadata.yaml"]
    run([*command, "--timezone", "Europe/Berlin"], newcomer)
    code = (
        "from nwbinspector import inspect_nwbfile, load_config\n"
        "for m in inspect_nwbfile(nwbfile_path='described.nwb', config=load_config('dandi')):\n"
        "    print(m.importance.name, m.check_function_name, m.message)"
    )
    found = run([sys.executable, "-c", code], newcomer).splitlines()
    # the demo has fewer samples than pixels a row, which the inspector takes for a wrong order of axes
    serious = [line for line in found if "SUGGESTION" not in line and "check_data_orientation" not in line]
    assert serious == []
