"""What is looked at in a benchmark before anybody runs it."""
