"""The address under which lm-eval finds ``hf-prefix``."""

from harness_ext.models.prefix.lm import PrefixLM

__all__ = ["PrefixLM"]
