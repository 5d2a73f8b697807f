"""The numpy specification that the CUDA kernels are held to."""
