"""Pure loss functions, one equation each."""
