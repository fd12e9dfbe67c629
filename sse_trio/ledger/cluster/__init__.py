"""What several nodes need of each other, whatever engine they share."""
