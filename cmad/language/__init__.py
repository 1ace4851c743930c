"""Language models: where they lie, their tokens, their hidden states, and frames laid out by token."""
