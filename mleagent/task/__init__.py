"""A folder becomes a Task: discovery, profile, metrics, holdout split, grading."""
