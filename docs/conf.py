"""The documentation as a site: `make docs` writes it to build/site."""

from ohmgrid import __version__

project = "ohmgrid"
copyright = "the ohmgrid authors"  # noqa: A001 (Sphinx's name)
release = __version__
extensions = [
    "myst_parser",
    # Of docstrings, in NumPy's form.
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
]
html_theme = "furo"
html_title = f"ohmgrid {release}"
# Links to sources and results go out of the site: tests/test_docs.py follows them.
suppress_warnings = ["myst.xref_missing"]
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
napoleon_google_docstring = False
default_role = "code"
