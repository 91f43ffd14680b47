"""EQ-Bench v2: how strongly does a character of a dialogue feel each of four emotions?

:mod:`docs` turns the released questions into docs, :mod:`scores` reads the answers. Wording of our own (the short form
and the sample) is in ``wording.json``; the long form asks with the prompts of the data.
"""
