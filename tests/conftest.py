"""What all tests share: how hypothesis runs."""

import os

from hypothesis import settings

# In CI the examples are those of every run, so that a red build is about the change; at home they are new each time.
settings.register_profile("zhice", deadline=None, print_blob=True, derandomize=bool(os.environ.get("CI")))
settings.load_profile("zhice")
