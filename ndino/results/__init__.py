"""From sample logs to comparisons: checks (logs), statistics, summary, tables and the report page."""
