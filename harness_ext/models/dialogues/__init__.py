"""Docs with several turns, played on any backend."""
