"""Names are other people's text: of models, categories, datasets and images, in files and in links. No page takes them for HTML,
Markdown or a formula, runs any of it, or fetches anything from elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Dialog, Page, expect
from typer.testing import CliRunner

from tests.browser.pages import MET, PATIENCE, WINDOW
from tests.conftest import served_app
from tests.stand_ins import BACKBONE, SMALL

EVIL = "evil.example"
NAMES = (
    '<img src=x onerror="window.pwned=1">',
    f"[read](http://{EVIL}/a) ![see](http://{EVIL}/b.png)",
    "\"'><script>window.pwned=1</script>",
    r"$\href{javascript:window.pwned=1}{x}$ :red[y] `z`",
    f"<a href='http://{EVIL}/c'>a</a><style>*{{display:none}}</style>",
)
MODEL = "<img src=x onerror=alert(1)>"
INJECTED = (
    f'[...document.querySelectorAll(\'img[src="x"], [onerror], [href*="{EVIL}"], [src*="{EVIL}"], [href^="javascript"]\')]'
    ".map((each) => each.outerHTML.slice(0, 200))"
)
PAGES = ("", "prototypes", "variance", "guidance", "compare", "surgery", "audit", "library", "findings")


def save(folder: Path, name: str, **fields) -> None:
    """A model that calls everything by hostile names."""
    import torch

    from engine import checkpoints
    from engine.segmenter import SegmenterSpec, build

    torch.manual_seed(0)
    made = build(SegmenterSpec(**{"backbone": BACKBONE, "classes": NAMES, **SMALL, **fields}))
    ious = dict.fromkeys(NAMES, 50.0)
    said = {
        "recipe": NAMES[0],
        "seed": 1,
        "date": NAMES[2],
        "data": NAMES[4],
        "mIoU": 50.0,
        "boundary_IoU": 40.0,
        "categories": ious,
    }
    checkpoints.save(folder / f"{name}.safetensors", made, provenance=said)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory):
    """Address of an app whose models, dataset and atlas hold such names."""
    from engine.cli import app

    root = tmp_path_factory.mktemp("hostile")
    models, data, atlases = root / "models", root / "data", root / "atlases"
    for folder in (models, data / "bad/images", data / "bad/labels"):
        folder.mkdir(parents=True)
    save(models, MODEL)
    save(models, "guided", method="hfgd")
    names = ", ".join(f"'''{name}'''" for name in NAMES)
    text = f"title='''{NAMES[0]}'''\nclasses = [{names}]\nhome = 'bad'\nurl = 'javascript:window.pwned=1'\n[labels]\nfirst = 0\n"
    (data / "bad.toml").write_text(
        text + "[splits.val]\nimages = 'images/*.png'\nlabels = 'labels/{stem}.png'\n", encoding="utf-8"
    )
    rng = np.random.default_rng(0)
    for stem in ("<img src=x onerror=alert(2)>", "b"):
        Image.fromarray(rng.integers(0, 255, (64, 96, 3), dtype=np.uint8)).save(
            data / f"bad/images/{stem}.png"
        )
        Image.fromarray(rng.integers(0, 5, (64, 96), dtype=np.uint8)).save(data / f"bad/labels/{stem}.png")
    settings = {"LOUPE_MODELS": str(models), "LOUPE_DATA": str(data), "LOUPE_ATLASES": str(atlases)}
    with pytest.MonkeyPatch.context() as patch:
        for key, value in settings.items():
            patch.setenv(key, value)
        walked = CliRunner().invoke(app, ["atlas", "--model", MODEL, "--data", "bad-val"])
        assert walked.exit_code == 0, walked.output
    with served_app(root, **settings) as address:
        yield address


@pytest.fixture
def watched(browser: Browser) -> Iterator[tuple[Page, list[str]]]:
    """A page, and what it did that it should not: dialogs, requests to elsewhere."""
    context = browser.new_context(viewport=WINDOW)
    context.add_init_script(MET)
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    wrong: list[str] = []

    def dismiss(dialog: Dialog) -> None:
        wrong.append(dialog.message)
        dialog.dismiss()

    page.on("dialog", dismiss)
    page.on(
        "request", lambda asked: wrong.append(asked.url) if urlsplit(asked.url).hostname == EVIL else None
    )
    yield page, wrong
    context.close()


def look(page: Page, address: str) -> list[str]:
    """What came out of names on a page as it opens, and with all that can be folded out."""
    page.goto(address)
    expect(page.locator("h1.lp-question").or_(page.get_by_test_id("stAlert")).first).to_be_visible(
        timeout=PATIENCE
    )
    expect(page.locator("[data-testid=stStatusWidget]")).to_have_count(0, timeout=PATIENCE)
    page.wait_for_timeout(700)
    expect(page.get_by_test_id("stException")).to_have_count(0)
    page.evaluate(
        "document.querySelectorAll('details:not([open]) > summary').forEach((each) => each.click())"
    )
    page.wait_for_timeout(300)
    assert page.evaluate("getComputedStyle(document.body).display") != "none"
    return page.evaluate(INJECTED) + (["a script ran"] if page.evaluate("window.pwned") else [])


def test_names_stay_text_on_every_page(hostile: str, watched: tuple[Page, list[str]]):
    page, wrong = watched
    said, found = "", {}
    for name in PAGES:
        link = {
            "model": "guided" if name == "guidance" else MODEL,
            "image": "data-bad-val-images/<img src=x onerror=alert(2)>",
        }
        if name == "compare":
            link["models"] = f"{MODEL},guided"
        if name == "surgery":
            link["edits"] = f"ablate,{NAMES[0]}"
        found[name] = look(page, f"{hostile}/{name}?{urlencode(link)}")
        said += page.evaluate("document.body.innerText")
    assert {name: each for name, each in found.items() if each} == {}
    assert wrong == []
    for name in NAMES[:3]:
        assert name[:12] in said, "the names were shown nowhere: this test looked at nothing"


def test_a_hostile_link_is_answered_in_sentences(hostile: str, watched: tuple[Page, list[str]]):
    page, wrong = watched
    fields = ("model", "models", "image", "stage", "pins", "edits", "site", "data", "categories", "reading")
    link = {**dict.fromkeys(fields, NAMES[1]), "head": NAMES[0], "shows": NAMES[2], "split": NAMES[4]}
    found = {name: look(page, f"{hostile}/{name}?{urlencode(link)}") for name in PAGES}
    assert {name: each for name, each in found.items() if each} == {}
    assert wrong == []
