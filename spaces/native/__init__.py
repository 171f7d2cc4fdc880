"""Layers in C where PyTorch's are slower or less exact: convolution of spikes, batch normalisation, neurons."""
