"""Augmentation of training images: batches in torch, on the device that trains, each image with a draw of its own."""
