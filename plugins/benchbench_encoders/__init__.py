"""First-party encoders of benchbench."""
