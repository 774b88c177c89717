"""What the user is told: the summary and the report."""
