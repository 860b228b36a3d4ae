"""Transforms, cameras and rigs: numpy only, no clock, no disk but the rig files."""
