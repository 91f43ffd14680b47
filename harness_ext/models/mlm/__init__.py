"""``hf-mlm``: pseudo-log-likelihood of encoder models."""

from harness_ext.models.mlm.lm import MaskedLM

__all__ = ["MaskedLM"]
