def benchbench_encoders(:
