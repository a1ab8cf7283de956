"""What all tests share: a clean environment and hypothesis without clocks."""

import os
import signal

import hypothesis

# A developer's own EVALWINDOW_* variables would change what is tested.
for name in [name for name in os.environ if name.startswith("EVALWINDOW_")]:
    del os.environ[name]
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["VLLM_NO_USAGE_STATS"] = "1"

# Whoever ends the tests leaves none of their servers and engines behind: SIGTERM tears fixtures down as Ctrl-C does.
signal.signal(signal.SIGTERM, signal.default_int_handler)

hypothesis.settings.register_profile("house", deadline=None, print_blob=True)
hypothesis.settings.load_profile("house")
