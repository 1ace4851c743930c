"""How fast the project is, against a plain implementation of the same computation."""
