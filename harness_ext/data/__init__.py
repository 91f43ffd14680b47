"""Pinned, verified data described by cards. Imports nothing of judges or models."""
