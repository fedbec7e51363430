"""Intervals, paired tests and fronts: arrays in, frozen results out; numpy and scipy only."""
