"""Update rules, each defined once."""
