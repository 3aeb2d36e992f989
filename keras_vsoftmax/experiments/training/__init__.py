"""What is trained and how, and the record of it."""
