"""What several nodes need of each other, with any engine."""
