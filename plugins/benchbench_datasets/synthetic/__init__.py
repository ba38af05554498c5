"""Synthetic retinal images in the genuine layouts, for demonstrations, tests and fresh machines.

Every image is a function of (dataset, image, seed) alone. Labels shape the anatomy and the lesions; brightness,
colour, sharpness and framing are drawn without looking at the label.
"""
