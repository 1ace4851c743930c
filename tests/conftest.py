"""Settings of all tests."""

import gc
import os
import signal

import pytest
from hypothesis import settings

# Before torch is imported: several workers with as many threads each as there are cores hinder each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Times differ from machine to machine; what is tested here is results.
settings.register_profile("cmad", deadline=None, derandomize=True)
settings.load_profile("cmad")

# A run in the background starts with interrupts ignored, and so would every process that a test interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Real repositories and processes, minutes each. With several workers the last file should be a short one.
_LONG = ("test_pipeline.py", "test_kill.py", "test_reproduce.py", "test_processes.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: _LONG.index(item.path.name) if item.path.name in _LONG else len(_LONG))


def pytest_collection_finish() -> None:
    """What is imported by then stays: looking through it for garbage takes a tenth of the time."""
    gc.freeze()
