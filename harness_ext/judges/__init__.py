"""Judges: a prompt, a response and a doc become a label and a score.

:mod:`judge` says what a judge is, :mod:`loading` makes one of a name or a file and lists the kinds: :mod:`rule`,
:mod:`llm` and :mod:`classifier`, each with its description and its judge. The last two ask a model, with what they have
in common (:mod:`model_judge`, :mod:`judge_prompts`, :mod:`cache`). :mod:`filters` and :mod:`configured` are what tasks
name.
"""
