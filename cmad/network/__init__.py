"""Teacher and student: one architecture, and what it says of a split."""
