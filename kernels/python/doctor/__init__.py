"""The doctor: trains a project's models, a process for each. `server` is what a kernel runs, `model` is for those who use what was trained."""
