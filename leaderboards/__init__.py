"""Published numbers, and how tables, figures and the page are drawn. Never imports tasks, models or torch.

A benchmark's own table is in its folder; :mod:`.build` finds it, and :mod:`.generic` serves all others.
"""
