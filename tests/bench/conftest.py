"""The load generator is C: without a compiler there is nothing to test, except in CI."""

import os
import shutil

import pytest


@pytest.fixture
def gcc() -> None:
    if shutil.which("gcc") is None and not os.environ.get("CI"):
        pytest.skip("there is no gcc")
