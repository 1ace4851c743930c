"""Language models: where they lie, and how they are opened."""
