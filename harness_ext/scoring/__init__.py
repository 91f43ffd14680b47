"""Pure scoring functions on numbers and strings. Imports nothing else of this package."""
