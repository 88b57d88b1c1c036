"""A run that is watched: what it tells of itself, who finds it, and the page that shows it.

A training process has a `feed.Feed`: a socket of its own, found through `registry`. Whoever
connects is told `messages`; with nobody there it costs nothing. The page's server (`server`) is
another process, `ohmgrid watch`, which follows a run (`follow`) and shows it in a browser (`page`).
No bit of a run depends on whether it is watched. `scope` is a page of a system in continuous time.
"""
