"""Published numbers and the table and page builders. Reads result files; never imports tasks, models or torch."""
