"""The probes of "An Early Evaluation of GPT-4V(ision)", as far as they can be drawn, read or brought along."""
