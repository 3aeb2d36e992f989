"""The one door to what Keras keeps private or lacks: a module an entry.

Each says what Keras lacks, in which versions, and what is relied upon instead. A test of each, in
tests/keras_gaps, fails when Keras closes the gap or the name goes, and another one finds private
names that stand anywhere else.
"""
