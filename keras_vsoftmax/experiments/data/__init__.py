"""What a run trains on and is tested on."""
