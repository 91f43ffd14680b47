"""General intelligence beside EiBench-R: what does a method that improves emotional intelligence lose elsewhere?

``eibench_gi`` is a group of lm-eval's own tasks, which needs data from a hub; ``eibench_gi_proxy`` is a group of small
test sets that needs none. :mod:`docs` turns the latter into docs, :mod:`scores` reads the answers.
"""
