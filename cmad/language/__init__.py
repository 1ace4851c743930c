"""Text and tokens: finding encoders, tokenising, frozen encoding."""
