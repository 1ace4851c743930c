"""Metrics and intervals, in numpy alone."""
