"""The teachers of a data set."""
