"""Small data written for tests."""
