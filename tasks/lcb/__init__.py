"""Language Confusion Benchmark: whether a model answers in the language it was asked in, line by line and word by word.

:mod:`docs` reads the released prompts, :mod:`words` cuts lines into words, :mod:`scores` counts, :mod:`replay` turns
released completions into answers that the backend ``replay`` scores.
"""
