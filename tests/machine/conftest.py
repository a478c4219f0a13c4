"""Walks of many orders and crash points take seconds each: they belong to `make test`, not to `make unit`."""

from __future__ import annotations

import pytest

WALKS = ("test_crashes.py", "test_operators.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.name in WALKS and item.path.parent.name == "machine":
            item.add_marker(pytest.mark.deep)
