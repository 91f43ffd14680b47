"""lm-eval backends."""
