"""Judging saved answers again, and agreement of judges with people."""
