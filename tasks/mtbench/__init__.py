"""MT-Bench in eleven languages: two turns, the language of each answer, and scores of a judge.

:mod:`questions` reads the files, :mod:`docs` makes docs of them, :mod:`scores` finds the languages, :mod:`judgments`
reads what a judge said before, :mod:`replay` turns stored answers into those that the backend ``replay`` scores.
"""
