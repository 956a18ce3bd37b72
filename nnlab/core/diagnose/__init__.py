"""The doctor: what a run's record, its layers and its rows say went wrong, with evidence and what would mend it."""
