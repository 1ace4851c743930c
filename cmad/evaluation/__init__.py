"""Trained networks to predictions and scores on test."""
