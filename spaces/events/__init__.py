"""Event-driven layers: work in proportion to spikes, not to neurons."""
