"""A run's predictions looked at from every side, in the columns of the table that its rows come from."""
