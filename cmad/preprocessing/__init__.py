"""From raw files to the store: checks, text to language, scaling, what the manifest says."""
