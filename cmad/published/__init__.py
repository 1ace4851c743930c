"""What is published of the paper's data sets: where they are, how large, how to tell a whole file."""
