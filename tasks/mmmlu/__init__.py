"""MMMLU: MMLU in fourteen languages.

The published numbers are in tables; tasks are to come.
"""
