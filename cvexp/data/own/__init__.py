"""The user's own images: folders, CSV files, arrays and Hugging Face datasets, decoded once into a mapped cache."""
