"""Geometry in a vision-language model: what the robot knows of the space around it, as tokens that a Qwen-VL reads.

`compose` makes an `Asked` of a question, the same way in training and on the robot; `inputs` makes tensors of it, and
`model` answers. Torch is imported by `encoders`, `selector`, `fusion`, `module`, `inputs`, `model` and what stands on
them, and by nothing else.
"""
