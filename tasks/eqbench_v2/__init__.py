"""EQ-Bench v2: how strongly does a character of a dialogue feel each of four emotions?

:mod:`docs` turns the released questions into docs, :mod:`scores` reads the answers. The long form asks with the prompts
of the data, the short form in our own words (``short_<language>.yaml``).
"""
