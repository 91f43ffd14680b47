"""Language fidelity: the same instructions in seven languages, and which language the answers are in."""
