"""Raw files of every format, as one kind of object."""
