"""The fine-tune loop: recipes, augmentation, learning-rate schedule, checkpoints, selection on validation."""
