"""Each alert's cause, brought about in a fleet that runs: `scale` makes the shipped rules quick, `causes` has the table."""
