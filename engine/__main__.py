"""`python -m engine …`"""

from __future__ import annotations

import sys

try:
    from engine.cli import main
except ModuleNotFoundError as missing:
    sys.exit(f"error: the package {missing.name} is not installed: pip install -r requirements.txt")

if __name__ == "__main__":
    sys.exit(main())
