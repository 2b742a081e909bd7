"""The page in a browser: pictures load, nothing overflows, no errors. Skipped where there is no browser."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scanimage_nwb.report import write_report

playwright = pytest.importorskip("playwright.sync_api")

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

pytestmark = [
    pytest.mark.skipif(BROWSER is None, reason="no Chromium on this computer"),
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]

MEASURE = """() => {
    const outside = [...document.querySelectorAll("body *")].filter(e => {
        const box = e.getBoundingClientRect();
        return box.width > 0 && (box.right > window.innerWidth + 1 || box.left < -1);
    });
    return {
        broken: [...document.images].filter(i => !i.complete || i.naturalWidth === 0).map(i => i.alt),
        pictures: document.images.length,
        width: document.documentElement.scrollWidth,
        outside: outside.map(e => e.tagName + " " + e.className),
        small: [...document.querySelectorAll("p, td, th, figcaption, a")]
            .filter(e => parseFloat(getComputedStyle(e).fontSize) < 13).length,
    };
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as tools:
        opened = tools.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize("name", ["tif", "siff", "flim"])
def test_page_in_a_browser(browser: Any, demo: Path, name: str, width: int) -> None:
    path = demo / f"{name}-page.html"
    if not path.exists():
        write_report(demo / f"{name}.nwb", path)
    troubles: list[str] = []
    requests: list[str] = []
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.on("console", lambda message: troubles.append(message.text))
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(path.as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    measured = page.evaluate(MEASURE)
    page.close()
    assert troubles == []
    assert [url for url in requests if not url.startswith("data:")] == [path.as_uri()]
    assert measured["broken"] == []
    assert measured["pictures"] >= 4
    assert measured["width"] == width
    assert measured["outside"] == []
    assert measured["small"] == 0
