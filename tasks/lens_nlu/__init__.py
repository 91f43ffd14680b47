"""Understanding in seven languages, asked as the authors of Lens ask: one letter, zero-shot, in English.

:mod:`readers` turns the files of four sources into records, :mod:`prompts` writes records into prompts, :mod:`docs`
makes docs of both, :mod:`scores` reads generated answers.
"""
