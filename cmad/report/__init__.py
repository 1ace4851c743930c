"""Scores to tables, figures and the report."""
