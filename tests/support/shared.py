"""Official schemas and sample data beside the checkout (`../shared/data`): for tests only, never copied into the project."""

from pathlib import Path

import pytest

SHARED = Path(__file__).parents[3] / "shared" / "data"


def shared_data(path: str = "") -> Path:
    """The file or folder of the official data; skips the test, saying which, where it is absent."""
    found = SHARED / path
    if not found.exists():
        pytest.skip(f"official data not here: ../shared/data/{path}")
    return found
