"""lm-eval backends, the demo's model, and what a run will cost before its first request (``plan``).

Backends are classes that lm-eval finds through the entry-point group ``lm_eval.models``; importing this package
imports none of them. This room may import the architectures in ``methods/modeling`` and nothing else of ours but
``harness_ext.errors`` and ``harness_ext.locations``.
"""
