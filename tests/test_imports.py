"""Imports run one way, and the engine starts light."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HEAVY = {
    *("streamlit", "plotly", "starlette", "matplotlib", "pandas"),
    *("umap", "numba", "sklearn", "torchmetrics", "ray", "lightning", "lightning_fabric", "typer"),
}


def fresh(code: str) -> str:
    """Standard output of a new interpreter started in the repository."""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_direction_of_imports():
    """The contracts in pyproject.toml: engine never imports app, and each layer only what is below it."""
    lint = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([lint, "--no-cache"], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def test_importing_the_engine_brings_nothing_heavy():
    loaded = fresh(f"import engine, sys; engine.Engine; print(*({HEAVY!r} & set(sys.modules)))").split()
    assert loaded == []


def test_the_help_of_the_command_line_does_not_wait_for_torch():
    loaded = fresh(
        "import sys, engine.cli; code = engine.cli.main(['--help'])\n"
        "print('\\n', code, *({'torch', 'timm', 'streamlit'} & set(sys.modules)))"
    )
    assert loaded.split()[-1] == "0"
