"""First-party datasets of benchbench."""
