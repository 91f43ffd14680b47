"""SECEU: ten points are shared out among four emotions, 40 scenarios in English and Chinese.

:mod:`word_files` reads the released Word documents, :mod:`docs` turns them into docs, :mod:`scores` reads the answers.
"""
