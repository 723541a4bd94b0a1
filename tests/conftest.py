"""Settings of the test tools."""

from hypothesis import settings

# The same examples each time, so that a failure is a change's doing and not chance; and no
# deadline, because a machine that is busy is no bug.
settings.register_profile("tests", deadline=None, derandomize=True, max_examples=100)
settings.load_profile("tests")
