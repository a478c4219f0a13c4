"""The pure core: what a release is and what to do next. Imports nothing but the standard library and numpy."""
