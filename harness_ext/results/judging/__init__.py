"""Who judged a number, judging saved answers again, and agreement of judges with people."""
