"""Checkpoints and adapters: read as transformers reads them, written whole or not at all."""
