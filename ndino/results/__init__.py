"""Compare evaluated models: read and check their logs, test differences, write tables and the report page."""
