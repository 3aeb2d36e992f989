"""The one door to what Keras keeps private or lacks, an entry a gap."""
