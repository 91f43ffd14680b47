"""From lm-eval's files to the tidy frame and to the documents behind a number."""
