"""Every block of the README runs, in its order, as a newcomer would run it."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


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


def test_shell_examples(newcomer: Path) -> None:
    commands = [line[2:] for block in blocks("console") for line in block.splitlines() if line.startswith("$ ")]
    assert len(commands) == 13
    for command in commands:
        words = shlex.split(command)
        run([sys.executable, *words[1:]] if words[0] == "python" else words, newcomer)
    assert (newcomer / "demo.nwb").is_file()
    assert "TwoPhotonSeriesChannel2" in (newcomer / "ready" / "m42.html").read_text(encoding="utf-8")
    assert (newcomer / "dandiset" / "sub-m42" / "sub-m42_ses-20250424-1_ophys.nwb").is_file()
    assert (newcomer / "flim.nwb").is_file()
    assert (newcomer / "photons-and-more.nwb").is_file()
    for folder in ("sessions", "archive"):
        assert (newcomer / folder / "sub-m42" / "sub-m42_ses-20250424-1_ophys.nwb").is_file()
    assert (newcomer / "out" / "demo_00001.nwb").is_file()
    assert (newcomer / "out" / "demo_flim_00001.nwb").is_file()


def test_python_examples(newcomer: Path) -> None:
    code = "\n".join(blocks("python"))
    printed = run([sys.executable, "-c", code], newcomer)
    assert "(2, 96, 128, 3)" in printed
    assert "(40, 128, 96, 3) 7.5" in printed
    assert "(2, 64, 64) " in printed
    assert "(40, 2) (40, 2)" in printed
    assert "('odour on', 1.5), ('odour off', 2.5), ('cells look fine', None)" in printed


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
