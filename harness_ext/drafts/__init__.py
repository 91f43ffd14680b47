"""What ``harness-ext new-task`` writes: reads a file of somebody's data and drafts a benchmark's folder from it.

:mod:`columns` reads the rows and finds out what kind of task they are, :mod:`folder` writes the files below
``templates/``. Nothing else imports this room but the command.
"""
