"""Templates and artifacts."""
