"""Continual learning: what is left of earlier tasks after each later one.

The published numbers are in tables; tasks are to come.
"""
