"""How good faces are: average precision on annotated pictures, and two detectors side by side."""
