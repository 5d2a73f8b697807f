"""What is measured, how, and what came out."""
