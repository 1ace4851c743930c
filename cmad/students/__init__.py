"""The students of a data set, comparison systems among them."""
