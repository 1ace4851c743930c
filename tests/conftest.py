"""Settings of all tests."""

import signal

from hypothesis import settings

# Times differ from machine to machine; what is tested here is results.
settings.register_profile("cmad", deadline=None, derandomize=True)
settings.load_profile("cmad")

# A run in the background starts with interrupts ignored, and so would every process that a test interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)
