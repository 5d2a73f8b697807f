"""What a precision costs: agreement with FP32, AP where faces are annotated, and which layers lose it."""
