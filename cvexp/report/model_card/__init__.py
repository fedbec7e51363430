"""A model card in Markdown, with the header that Hugging Face reads."""

from cvexp.report.model_card.text import text

__all__ = ["text"]
