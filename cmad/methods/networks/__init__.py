"""Networks, and parts of them, that single systems have."""
