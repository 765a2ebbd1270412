"""mleagent: a terminal agent for machine-learning engineering that learns from your own work."""

__version__ = "0.1.0"
