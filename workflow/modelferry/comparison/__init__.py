"""Whether two functions agree: differences, scores, and the sizes at which they are compared."""
