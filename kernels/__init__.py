"""Source text of the hot loops: C for the processor, CUDA C++ for the GPU.  No Python logic."""
