"""The cleaned data set on disk."""
