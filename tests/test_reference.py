"""The API reference is made from docstrings, and what is public has one."""

from __future__ import annotations

import importlib
import inspect

import pytest

from tests.reference import MODULES, write


@pytest.mark.parametrize("name", MODULES)
def test_what_is_public_has_a_docstring(name: str):
    module = importlib.import_module(name)
    assert module.__doc__, name
    own = [
        (key, value)
        for key, value in vars(module).items()
        if not key.startswith("_")
        and (inspect.isfunction(value) or inspect.isclass(value))
        and value.__module__ == name
    ]
    without = [key for key, value in own if not inspect.getdoc(value)]
    assert without == [], f"{name}: {without}"


def test_the_reference_is_written(tmp_path):
    write(tmp_path, ("engine.images",))
    text = (tmp_path / "engine" / "images.html").read_text(encoding="utf-8")
    assert (tmp_path / "index.html").is_file() and "load_image" in text and "sha256" in text
