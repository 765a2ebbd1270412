"""Milestones, instrumentation and reward schemes: facts in, rewards out."""
