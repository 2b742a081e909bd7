"""The README of ndx-flim: every example runs, in order, and the tables name what there is."""

import re
import subprocess
import sys
from pathlib import Path

import yaml

import ndx_flim

PACKAGE = Path(ndx_flim.__file__).parent
README = (PACKAGE / "README.md").read_text(encoding="utf-8")


def test_examples(tmp_path: Path) -> None:
    code = "\n".join(re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL))
    check = (
        "np.testing.assert_array_equal(np.sort(pixel), np.sort(pixels_of_frame))\n"
        "np.testing.assert_allclose(delay_s, (delays_of_frame + 0.5) * 312.5e-12)\n"
        "assert image.sum() == len(pixel) > 50\n"
        "assert nwbfile.processing['ophys']['PhotonHistogram'].counts[:].sum() == 5000\n"
        "nwbfile.read_io.close()\n"
    )
    command = [sys.executable, "-W", "error", "-c", code + check]
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "1.25e-08" in result.stdout
    assert "green" in result.stdout


def test_every_type_has_a_row_and_an_example() -> None:
    spec = yaml.safe_load((PACKAGE / "spec" / "ndx-flim.extensions.yaml").read_text(encoding="utf-8"))
    types = {found["neurodata_type_def"] for found in spec["groups"] + spec["datasets"]}
    assert types == {name for name in ndx_flim.__all__ if name[0].isupper()}
    for name in types:
        assert f"| `{name}` |" in README
        assert name == "QuantityVectorData" or re.search(rf"^\*\*.*\b{name}\b", README, re.MULTILINE)


def test_versions_agree() -> None:
    namespace = yaml.safe_load((PACKAGE / "spec" / "ndx-flim.namespace.yaml").read_text(encoding="utf-8"))
    catalogue = yaml.safe_load((PACKAGE / "ndx-meta.yaml").read_text(encoding="utf-8"))
    versions = {namespace["namespaces"][0]["version"], catalogue["version"], ndx_flim.__version__}
    assert versions == {"0.1.0"}
    assert {"name", "version", "src", "pip", "license", "maintainers"} == set(catalogue)


def test_every_quantity_has_a_unit() -> None:
    """Whatever is measured says in what: every dataset of numbers but references, images' sizes and truth values."""
    spec = yaml.safe_load((PACKAGE / "spec" / "ndx-flim.extensions.yaml").read_text(encoding="utf-8"))
    without = {"rois", "roi", "dimension", "converged", "channel", "plane"}
    for kind in spec["groups"]:
        for dataset in kind.get("datasets", []):
            units = [found for found in dataset.get("attributes", []) if found["name"] == "unit"]
            assert bool(units) != (dataset["name"] in without), f"{kind['neurodata_type_def']}.{dataset['name']}"
