"""ToMBench: multiple-choice questions on theory of mind, in English and Chinese; the emotion items or all of them.

:mod:`items` reads the released files, :mod:`docs` turns items into docs, :mod:`scores` reads the answers.
"""
