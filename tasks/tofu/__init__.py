"""TOFU: what a model still knows of invented authors that it was made to forget."""
