"""RWKU: what a model still knows of well-known people whom it was made to forget, and of what is near to them."""
