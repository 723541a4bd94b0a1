"""Settings for Hypothesis."""

from hypothesis import settings

# Hypothesis generates the same examples each time, so a new failure comes from a change and not
# from chance. There is no deadline, because a busy machine is not a bug.
settings.register_profile("tests", deadline=None, derandomize=True, max_examples=100)
settings.load_profile("tests")
