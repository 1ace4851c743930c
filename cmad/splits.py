"""The three parts of every data set."""

SPLITS = ("train", "dev", "test")
