"""What the server makes ready before anybody comes."""

from __future__ import annotations

import ast
import re
from pathlib import Path

APP = Path(__file__).parents[2] / "app"


def test_every_page_is_imported_before_the_heap_is_frozen():
    tree = ast.parse((APP / "main.py").read_text(encoding="utf-8"))
    (pages,) = (
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "PAGES"
    )
    assert sorted(pages) == sorted(re.findall(r'url_path="(\w+)"', (APP / "home.py").read_text("utf-8")))
