"""What describes free text besides a judge: BERTScore against a reference, and whether a reply names an emotion.

These need a model and are run on saved replies by ``harness-ext replies``; a task calls none of them. Nothing of ours
is imported here but ``harness_ext.errors``.
"""
