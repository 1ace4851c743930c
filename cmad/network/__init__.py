"""Teacher and student: one architecture."""
