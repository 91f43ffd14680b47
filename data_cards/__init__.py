"""One card a data source: YAML front matter (machine-read) and prose."""
