"""A trained model behind HTTP: ONNX Runtime inside, requests answered in micro-batches; nothing here imports torch."""
