"""What a model does in a second, how long its faces take, and how others do on the same pictures."""
