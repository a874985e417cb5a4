"""Tells whether this Python can run the project: exit status 0, or 1 and one line with the reason.

Old Pythons run this too, so it has neither f-strings nor annotations.
"""

import os
import platform
import re
import sys

with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "pyproject.toml")) as project:
    bounds = re.findall(r'^requires-python = ">=3\.(\d+),<3\.(\d+)"', project.read(), re.MULTILINE)[0]
name = sys.executable + " is Python " + platform.python_version()
if not (3, int(bounds[0])) <= sys.version_info[:2] < (3, int(bounds[1])):
    print(name + ".")
    sys.exit(1)
try:
    for module in ("ssl", "venv", "ensurepip"):
        __import__(module)
except ImportError:
    print(name + " without the module " + module + ". On Debian and Ubuntu, apt install python3-venv brings it.")
    sys.exit(1)
