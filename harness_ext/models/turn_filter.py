"""The address under which lm-eval finds the filter ``take_turn``."""

from harness_ext.models.dialogues.filter import TakeTurn

__all__ = ["TakeTurn"]
