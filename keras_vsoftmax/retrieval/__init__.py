"""What an embedding is worth: neighbours, classes, compactness."""
