"""The notebook runs from its first cell to its last: it shows what the engine really answers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOK = ROOT / "docs" / "quickstart.ipynb"


def code_cells() -> list[str]:
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def test_the_notebook_runs_as_it_stands(tmp_path: Path):
    """In a process of its own that knows nothing of the app, in the order of the cells."""
    script = tmp_path / "quickstart.py"
    last = """
import sys
assert not [name for name in sys.modules if name == "streamlit" or name.split(".")[0] == "app"]
print("to the end")
"""
    script.write_text("\n\n".join([*code_cells(), last]), encoding="utf-8")
    environment = {**os.environ, "MPLBACKEND": "agg", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning", str(script)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "to the end" in done.stdout and "sum of shares 1.0" in done.stdout


def test_the_notebook_is_kept_without_outputs():
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    assert all(not cell.get("outputs") for cell in cells) and len(code_cells()) >= 7
