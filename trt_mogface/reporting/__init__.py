"""Reports: HTML pages, terminal tables and drawings."""
