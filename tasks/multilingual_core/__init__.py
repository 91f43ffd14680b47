"""lm-eval's own tasks in seven languages, on files that are pinned instead of the hub."""
