"""First-party protocols of benchbench."""
