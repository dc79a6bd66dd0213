"""The kernel's own modules. They live in a package so that none of their names can hide a module of a task."""
