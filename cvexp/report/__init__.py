"""Results into tables, JSON, CSV and Markdown. Beside cli, the only room that imports rich."""
