"""Numbers of papers and of trivial predictors, as CSV files, and what they are checked against."""
