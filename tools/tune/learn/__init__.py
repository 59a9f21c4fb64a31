"""Trains a LoRA adapter on the weights of a GGUF file, on a CPU."""
