"""``hf-prefix``: ``hf`` with every shared beginning of prompts computed once."""
