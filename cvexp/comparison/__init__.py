"""Which model to ship: runs grouped by recipe, verdicts in words, the Pareto front, the pick under a budget."""
