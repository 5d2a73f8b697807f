"""Services that put the detector behind a network protocol."""
