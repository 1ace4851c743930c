"""Looking at raw files before anything is done with them."""
