"""Produces the outputs of a clip: the stream copy, renditions, stills."""
