"""Settings of all tests."""

from hypothesis import settings

# Times differ from machine to machine; what is tested here is results.
settings.register_profile("cmad", deadline=None, derandomize=True)
settings.load_profile("cmad")
