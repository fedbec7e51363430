"""Results as tables, JSON, CSV and Markdown. Only this package and cli import rich."""
