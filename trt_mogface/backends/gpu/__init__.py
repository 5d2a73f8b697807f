"""TensorRT engines on a GPU: slots, buffers and CUDA graphs."""
