"""METHODS: how weights are found, by name; one file each. Listing them imports nothing heavy."""

METHODS = {  # name -> (where it is, what it is)
    "bptt": ("evaluators.methods.bptt:BPTT", "backpropagation through time with surrogate gradients"),
    "readout": ("evaluators.methods.readout:READOUT", "the readout alone, by least squares on the layers as they are"),
}
USUAL = "bptt"
