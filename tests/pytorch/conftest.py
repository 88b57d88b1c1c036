"""Where torch is not installed its tests cannot even be read: `make test-torch` installs it first,
and fails where there are none. Whoever has aihwkit tests it too: PyPI has it for other Pythons."""

from importlib.util import find_spec

collect_ignore_glob = [] if find_spec("torch") else ["test_*.py"]
if not find_spec("aihwkit"):
    collect_ignore_glob.append("test_peer.py")
