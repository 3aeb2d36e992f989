"""What the scripts in `examples/` share."""
