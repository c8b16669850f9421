"""How the documentation is built: `ci/docs`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import sphinx_autosummary_accessors
from sphinx.application import Sphinx

import xgrad  # registers the accessors, which the reference lists

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import generate  # noqa: E402  beside this file

# Pages run in this environment: its kernel, and its `xgrad` command.
os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])

project = "xgrad"
author = "The xgrad developers"
copyright = author
version = release = xgrad.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "numpydoc",
    "sphinx_autosummary_accessors",
    "myst_nb",
]
templates_path = ["_templates", sphinx_autosummary_accessors.templates_path]
exclude_patterns = ["_build", "figures"]
nitpicky = False  # types in docstrings are words, not links

autosummary_generate = True
autodoc_typehints = "none"  # the docstrings say the types
numpydoc_show_class_members = False

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "force"  # code on a page is code that runs
nb_execution_in_temp = True
nb_execution_timeout = 300
nb_execution_raise_on_error = True
nb_merge_streams = True

html_theme = "pydata_sphinx_theme"
html_title = "xgrad"
html_static_path = ["_static"]
html_css_files = ["xgrad.css"]
html_show_sourcelink = False
html_theme_options = {
    "show_prev_next": False,
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}


def setup(app: Sphinx) -> None:
    """Generate what pages include before they are read, and read them all: their code runs the package."""
    app.connect("config-inited", lambda app, config: generate.everything(HERE))
    app.connect("env-get-outdated", lambda app, env, added, changed, removed: sorted(env.found_docs))
