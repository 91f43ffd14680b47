"""What describes free text besides a judge: similarity to a reference, consistency of emotion."""
