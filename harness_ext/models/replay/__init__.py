"""``replay``: answers that already exist, scored by the same tasks as a live model's."""

from harness_ext.models.replay.lm import Replay

__all__ = ["Replay"]
