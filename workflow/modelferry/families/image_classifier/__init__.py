"""Image classifiers: ResNets, and backbones of timm."""
