"""What has nothing to do with heads: optional dependencies, and files written whole."""
