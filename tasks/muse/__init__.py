"""MUSE: what a model still knows of news articles that it was made to forget."""
