"""TOFU: what a model still knows of invented authors that it was made to forget.

The published numbers are in tables; tasks are to come.
"""
