"""Judges: a prompt, a response and a doc become a label and a score."""
