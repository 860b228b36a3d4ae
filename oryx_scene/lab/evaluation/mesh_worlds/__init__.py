"""The second generator of worlds: furnished rooms of triangle meshes, for evaluation only.

Shares nothing with `oryx_scene.lab.synth` but the records that come out: other shapes, textures,
light, rooms and cameras. No threshold is tuned and no model is trained on it.
"""
