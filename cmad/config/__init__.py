"""The parameter file, checked and frozen."""
