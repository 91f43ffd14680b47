"""XCOPA as lm-eval asks it, with the right question and without cutting letters off the premise."""
