"""How good it is: tasks, supernet, training, spike and operation counts, energy."""
