"""Property tests check what holds, not how fast: a busy machine must not fail one by its clock."""

from hypothesis import settings

settings.register_profile("no-deadline", deadline=None)
settings.load_profile("no-deadline")
